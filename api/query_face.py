"""The query face of a search: the face in a photo, or its embedding."""

from dataclasses import dataclass
from typing import Self

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AliasChoices, Field, model_validator

from api.app_context import AppContext
from api.photo_uploads import PhotoBody, read_photo_body
from sightline.people.picture_files import Photo
from sightline.people.query_face import query_face_of_photo
from sightline.runtime.errors import SightlineError

_MAX_DIMENSION = 4096


class FaceQuery(PhotoBody):
    """A photo in base64 or an embedding, and the threshold of a match."""

    vector: list[float] | None = Field(
        None,
        validation_alias=AliasChoices("vector", "face_embedding", "embedding"),
        max_length=_MAX_DIMENSION,
        description="of the model pack in use; of any norm",
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, allow_inf_nan=False, description="cosine from which on it is a match"
    )
    limit: int = Field(100, ge=1, le=1000)

    @model_validator(mode="after")
    def _has_one_face(self) -> Self:
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
class QueryFaceBody:
    """The face to search for."""

    pack: str
    vector: list[float]
    """(d,) of the pack; the search checks that it has a direction."""
    threshold: float | None
    limit: int


async def read_query_face(request: Request, context: AppContext) -> QueryFaceBody:
    """Read the query face of a JSON body or a form.

    Raises:
        PhotoError: The photo has not exactly one good face.
        SightlineError: The vector is none of the pack's.
        HTTPException: 400, 413, 415 or 422 for the body.
    """
    limit = context.api.max_photo_bytes
    query, photo = await read_photo_body(request, FaceQuery, limit)
    return await run_in_threadpool(_query_face, context, query, photo)


def _query_face(context: AppContext, query: FaceQuery, photo: Photo | None) -> QueryFaceBody:
    pack = context.models.get()
    if photo is not None:
        vector = query_face_of_photo(photo, pack, context.settings).tolist()
    else:
        vector = query.vector or []
    if len(vector) != pack.embedder.dimension:
        raise SightlineError(
            f"the vector has {len(vector)} numbers; those of the pack {pack.id} have"
            f" {pack.embedder.dimension}"
        )
    return QueryFaceBody(pack.id, vector, query.threshold, query.limit)
