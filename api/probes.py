"""Whom a search is for: a face in a photo, or its vector."""

from dataclasses import dataclass
from typing import Self

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AliasChoices, BaseModel, Field, model_validator

from api import bodies
from api.parts import Parts
from api.photos import from_base64, read_form
from api.problems import unsupported
from api.settings import ApiSettings
from sightline.people.picture_files import Photo
from sightline.people.query_face import face_of_photo
from sightline.runtime.errors import SightlineError

_LONGEST_VECTOR = 4096


class Probe(BaseModel):
    """A photo in base64 or a vector, and how alike is alike."""

    vector: list[float] | None = Field(
        None,
        validation_alias=AliasChoices("vector", "face_embedding", "embedding"),
        max_length=_LONGEST_VECTOR,
        description="of the model pack in use; any length of arrow",
    )
    photo: str | None = Field(
        None,
        validation_alias=AliasChoices("photo", "photo_base64", "image", "image_base64"),
        description="base64, also as a data URL",
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, allow_inf_nan=False, description="cosine from which on it is a match"
    )
    limit: int = Field(100, ge=1, le=1000)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.vector is None) == (self.photo is None):
            raise ValueError("give a photo or a vector, one of the two")
        return self


FORM = {
    "type": "object",
    "required": ["photo"],
    "properties": {
        "photo": {"type": "string", "format": "binary"},
        "threshold": {"type": "number", "minimum": -1, "maximum": 1},
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
    },
}


@dataclass(frozen=True, slots=True)
class Face:
    """What is searched for."""

    pack: str
    vector: list[float]
    """As long as the pack's; the search looks whether it is one."""
    threshold: float | None
    limit: int


async def read_probe(request: Request, parts: Parts) -> Face:
    """The face that a JSON body or a form asks for.

    Raises PhotoError for a photo without exactly one good face, SightlineError for a vector that
    is none, and problems 400, 413, 415 and 422 for bodies.
    """
    limit = ApiSettings.of(parts.settings).max_photo_bytes
    kind = bodies.media_type(request)
    if kind == bodies.JSON:
        probe = bodies.checked(Probe, await bodies.read_json(request, None))
        photo = from_base64(probe.photo, "photo", limit) if probe.photo is not None else None
    elif kind == bodies.FORM:
        fields, photos = await read_form(request, limit)
        if len(photos) != 1:
            raise SightlineError(f"the form has {len(photos)} files; give one photo")
        probe = bodies.checked(Probe, fields | {"photo": "the file"})
        photo = photos[0]
    else:
        raise unsupported(f"{bodies.FORM} or {bodies.JSON}")
    return await run_in_threadpool(_face, parts, probe, photo)


def _face(parts: Parts, probe: Probe, photo: Photo | None) -> Face:
    pack = parts.faces.pack()
    if photo is not None:
        vector = face_of_photo(photo, pack, parts.settings).vector.tolist()
    else:
        vector = probe.vector or []
    if len(vector) != pack.embedder.dimension:
        raise SightlineError(
            f"the vector has {len(vector)} numbers; those of the pack {pack.id} have"
            f" {pack.embedder.dimension}"
        )
    return Face(pack.id, vector, probe.threshold, probe.limit)
