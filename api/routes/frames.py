"""`process-frame`: who the faces of a client's frame are, by the matching stream's decision."""

import time
from collections.abc import Iterable, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, model_validator

from api import bodies
from api.audited import audited
from api.auth.needs import Acting, needs
from api.live import Answer, Crop
from api.parts import Given, Parts
from api.photos import from_base64
from api.settings import ApiSettings
from schemas.decode import SLUG
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.people import identity_corrections
from sightline.people.picture_files import normalised
from sightline.runtime.errors import PhotoError
from sightline.storage import cameras
from sightline.storage.db import Cursor

router = APIRouter(prefix="/api/module1", tags=["module1"])

_MOST_TRACKS = 64
_UNKNOWN = "Unknown"


class TrackCrop(BaseModel):
    """The face of one track of the client, cut out of the frame."""

    track_id: int = Field(ge=0, le=2**31 - 1, description="the client's own number")
    face_crop: str = Field(description="base64, also as a data URL")


class ProcessFrame(BaseModel):
    """A frame and the faces in it."""

    frame: str | None = Field(None, description="base64; may be left out where there are crops")
    track_ids: list[TrackCrop] = Field(default_factory=list, max_length=_MOST_TRACKS)
    camera_id: str = Field(
        "api",
        pattern=f"^{SLUG.pattern}$",
        description="whose track numbers these are; two clients need two",
    )

    @model_validator(mode="after")
    def _says_something(self) -> "ProcessFrame":
        if not self.frame and not self.track_ids:
            raise ValueError("give a frame, or crops in track_ids")
        numbers = [one.track_id for one in self.track_ids]
        if len(set(numbers)) < len(numbers):
            raise ValueError("a track_id is there twice")
        return self


class Identity(BaseModel):
    """Who a track is."""

    track_id: int
    name: str
    confidence: float = Field(description="0 to 100")
    is_cached: bool = Field(description="nothing was embedded for it")
    is_authorized: bool
    access_log_id: UUID | None = Field(description="null until it is decided")
    face_id: UUID | None = Field(description="of an enrolled person")


class TrackError(BaseModel):
    """Why a crop told nothing."""

    track_id: int
    reason: str
    message: str


class Frame(BaseModel):
    """Who is in a frame; a track whose crop told nothing is in `errors`."""

    identities: list[Identity]
    unknown_count: int
    processing_time_ms: float
    errors: list[TrackError]


@router.post(
    "/process-frame", summary="Who the faces of a frame are",
    openapi_extra=bodies.described(json=ProcessFrame),
    dependencies=[audited("faces.decide"), needs(Permission.FACES_DECIDE, scoped=True)],
)  # fmt: skip
async def process_frame(
    parts: Given, actor: Acting, body: Annotated[ProcessFrame, bodies.json_of(ProcessFrame, None)]
) -> Frame:
    """The matching stream decides, by all shots of a track, as for any camera.

    Answers when it has, at the latest after `api.decision_seconds`.
    """
    if not actor.sees(body.camera_id):
        raise HTTPException(403, "your key is for other cameras")
    began = time.monotonic()
    limit = ApiSettings.of(parts.settings).max_photo_bytes
    if body.frame:
        frame = from_base64(body.frame, "frame", limit)
        await run_in_threadpool(normalised, frame)
    crops, errors = _crops(body.track_ids, limit)
    answers = []
    if crops:
        site = await run_in_threadpool(_site, parts, body.camera_id)
        answers = await parts.live.decide(body.camera_id, site, crops)
    identities = await run_in_threadpool(_identities, parts, answers)
    errors += [
        TrackError(track_id=one.number, reason=one.flaw.reason, message=one.flaw.detail)
        for one in answers
        if one.flaw is not None
    ]
    return Frame(
        identities=identities,
        unknown_count=sum(one.name == _UNKNOWN for one in identities),
        processing_time_ms=round((time.monotonic() - began) * 1000, 1),
        errors=errors,
    )


def _crops(tracks: Sequence[TrackCrop], limit: int) -> tuple[list[Crop], list[TrackError]]:
    crops, errors = [], []
    for one in tracks:
        try:
            photo = from_base64(one.face_crop, f"track {one.track_id}", limit)
            crops.append(Crop(one.track_id, photo))
        except PhotoError as error:
            errors.append(
                TrackError(track_id=one.track_id, reason=error.reason, message=str(error))
            )
    return crops, errors


def _site(parts: Parts, camera_id: str) -> str:
    with parts.db() as db:
        return cameras.stand_in(db, camera_id)


def _identities(parts: Parts, answers: Sequence[Answer]) -> list[Identity]:
    """As the logs would say it: with what people have corrected, and who may enter now."""
    told = [(one, one.sighting) for one in answers if one.sighting is not None]
    if not told:
        return []
    with parts.db() as db, db.cursor() as cursor:
        meant = identity_corrections.effective(
            cursor, [(one.track_id, said.global_id) for one, said in told]
        )
        who = identity_corrections.people(cursor, [person for person in meant if person])
        packs = {said.pack for _, said in told}
        faces = {pack: _face_ids(cursor, pack, who.values()) for pack in packs}
    trail.seen([{"global_id": person} for person in meant])
    identities = []
    for (one, said), person in zip(told, meant, strict=True):
        known = who.get(person)
        identities.append(
            Identity(
                track_id=one.number,
                name=(known.name if known else "") or _UNKNOWN,
                confidence=round(100 * said.confidence, 1) if person else 0.0,
                is_cached=one.is_cached,
                is_authorized=known.is_authorized if known else False,
                access_log_id=UUID(said.sighting_id) if said.global_id else None,
                face_id=faces[said.pack].get(known.employee_id) if known else None,
            )
        )
    return identities


def _face_ids(
    cursor: Cursor, pack: str, people: Iterable[identity_corrections.Who]
) -> dict[str, UUID]:
    """The best look of each enrolled person, by employee id."""
    enrolled = [one.employee_id for one in people if one.employee_id]
    cursor.execute(
        "SELECT DISTINCT ON (employee_id) employee_id::text, template_id FROM face_templates"
        " WHERE employee_id = ANY(%s::uuid[]) AND pack = %s"
        " ORDER BY employee_id, quality DESC, template_id",
        (enrolled, pack),
    )
    return dict(cursor.fetchall())
