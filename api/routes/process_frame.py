"""`process-frame`: the identities of the faces in a client's frame, by the matching stream."""

import time
from collections.abc import Iterable, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, model_validator

from api import request_bodies
from api.app_context import AppContext, Context
from api.audit_middleware import audited
from api.auth.permissions import CurrentActor, requires
from api.crop_decisions import ClientCrop, TrackDecision
from api.photo_uploads import from_base64
from schemas.decode import SLUG
from sightline.audit import trail
from sightline.audit.actor import Actor
from sightline.audit.roles import Permission
from sightline.people import identity_corrections
from sightline.people.one_of import UNDECIDED, one_of
from sightline.people.picture_files import to_upright_jpeg
from sightline.runtime.errors import PhotoError
from sightline.storage import camera_names, cameras
from sightline.storage.db import Cursor

router = APIRouter(prefix="/api/module1", tags=["module1"])

_MAX_CROPS = 64
_UNKNOWN = "Unknown"


class TrackCrop(BaseModel):
    """The face of one track of the client, cut out of the frame."""

    track_id: int = Field(ge=0, le=2**31 - 1, description="the client's own number")
    face_crop: str = Field(description="base64, also as a data URL")


class ProcessFrame(BaseModel):
    """A frame and the faces in it."""

    frame: str | None = Field(None, description="base64; may be left out where there are crops")
    track_ids: list[TrackCrop] = Field(default_factory=list, max_length=_MAX_CROPS)
    camera_id: str = Field(
        "api",
        pattern=f"^{SLUG.pattern}$",
        description="whose track numbers these are; two clients need two",
    )

    @model_validator(mode="after")
    def _has_pictures(self) -> "ProcessFrame":
        if not self.frame and not self.track_ids:
            raise ValueError("give a frame, or crops in track_ids")
        numbers = [crop.track_id for crop in self.track_ids]
        if len(set(numbers)) < len(numbers):
            raise ValueError("a track_id is there twice")
        return self


class TrackIdentity(BaseModel):
    """The identity of a track."""

    track_id: int
    name: str
    confidence: float = Field(description="0 to 100")
    is_cached: bool = Field(description="nothing was embedded for it")
    is_authorized: bool
    access_log_id: UUID | None = Field(description="null until it is decided")
    face_id: UUID | None = Field(description="of an enrolled person")


class TrackError(BaseModel):
    """The reason why a crop gave no decision."""

    track_id: int
    reason: str
    message: str

    @classmethod
    def of(cls, number: int, error: PhotoError) -> "TrackError":
        """Return the answer for the crop of a track."""
        return cls(track_id=number, reason=error.reason, message=str(error))


class FrameIdentities(BaseModel):
    """The identities in a frame; tracks whose crops gave no decision are in `errors`."""

    identities: list[TrackIdentity]
    unknown_count: int
    processing_time_ms: float
    errors: list[TrackError]


@router.post(
    "/process-frame", summary="Who the faces of a frame are",
    openapi_extra=request_bodies.described(json=ProcessFrame),
    dependencies=[audited("faces.decide"), requires(Permission.FACES_DECIDE, scoped=True)],
)  # fmt: skip
async def process_frame(
    context: Context,
    actor: CurrentActor,
    body: Annotated[ProcessFrame, request_bodies.json_of(ProcessFrame, None)],
) -> FrameIdentities:
    """Have the matching stream decide, by all crops of a track, as for any camera.

    Answers when it has, at the latest after `api.decision_seconds`.
    """
    began = time.monotonic()
    await run_in_threadpool(_check_visible, context, actor, body.camera_id)
    limit = context.api.max_photo_bytes
    if body.frame:
        frame = from_base64(body.frame, "frame", limit)
        await run_in_threadpool(to_upright_jpeg, frame)
    crops, errors = _crops(body.track_ids, limit)
    decisions = []
    if crops:
        camera_id, site = await run_in_threadpool(_camera, context, body.camera_id)
        decisions = await context.crops.decide(camera_id, site, crops)
    identities = await run_in_threadpool(_identities, context, decisions)
    errors += [TrackError.of(track.number, track.error) for track in decisions if track.error]
    return FrameIdentities(
        identities=identities,
        unknown_count=sum(_is_unknown(identity) for identity in identities),
        processing_time_ms=round((time.monotonic() - began) * 1000, 1),
        errors=errors,
    )


def _crops(tracks: Sequence[TrackCrop], limit: int) -> tuple[list[ClientCrop], list[TrackError]]:
    crops, errors = [], []
    for track in tracks:
        try:
            photo = from_base64(track.face_crop, f"track {track.track_id}", limit)
            crops.append(ClientCrop(track.track_id, photo))
        except PhotoError as error:
            errors.append(TrackError.of(track.track_id, error))
    return crops, errors


def _check_visible(context: AppContext, actor: Actor, camera: str) -> None:
    if actor.cameras is None:
        return
    with context.db() as db:
        camera_id = camera_names.client_camera_id(db, camera)
    if not actor.can_see(camera_id):
        raise HTTPException(403, "your key is for other cameras")


def _camera(context: AppContext, name: str) -> tuple[str, str]:
    """Return id and site of a client's camera."""
    with context.db() as db:
        return cameras.ensure_camera(db, name)


def _identities(context: AppContext, decisions: Sequence[TrackDecision]) -> list[TrackIdentity]:
    """Return what the logs would say: with operators' corrections and today's authorisation."""
    decided = [
        (decision, decision.sighting) for decision in decisions if decision.sighting is not None
    ]
    if not decided:
        return []
    with context.db() as db, db.cursor() as cursor:
        persons = identity_corrections.corrected_persons(
            cursor, [(sighting.track_id, sighting.global_id) for _, sighting in decided]
        )
        people = identity_corrections.identities_of(
            cursor, [person for person in persons if person]
        )
        packs = {sighting.pack for _, sighting in decided}
        between = {
            sighting.sighting_id: one_of(
                cursor, sighting.candidate, sighting.runner_up, sighting.reason
            )
            for (_, sighting), person in zip(decided, persons, strict=True)
            if not person
        }
        faces = {pack: _face_ids(cursor, pack, people.values()) for pack in packs}
    trail.add_read_rows([{"global_id": person} for person in persons])
    identities = []
    for (decision, sighting), global_id in zip(decided, persons, strict=True):
        person = people.get(global_id)
        identities.append(
            TrackIdentity(
                track_id=decision.number,
                name=(person.name if person else between.get(sighting.sighting_id)) or _UNKNOWN,
                confidence=round(100 * sighting.confidence, 1) if global_id else 0.0,
                is_cached=decision.is_cached,
                is_authorized=person.is_authorized if person else False,
                access_log_id=UUID(sighting.sighting_id) if sighting.global_id else None,
                face_id=faces[sighting.pack].get(person.employee_id) if person else None,
            )
        )
    return identities


def _is_unknown(identity: TrackIdentity) -> bool:
    return identity.name == _UNKNOWN or identity.name.startswith(UNDECIDED)


def _face_ids(
    cursor: Cursor, pack: str, people: Iterable[identity_corrections.PersonIdentity]
) -> dict[str, UUID]:
    """Return the id of the best template of each enrolled person, by employee id."""
    employees = [person.employee_id for person in people if person.employee_id]
    cursor.execute(
        "SELECT DISTINCT ON (employee_id) employee_id::text, template_id FROM face_templates"
        " WHERE employee_id = ANY(%s::uuid[]) AND pack = %s"
        " ORDER BY employee_id, quality DESC, template_id",
        (employees, pack),
    )
    return dict(cursor.fetchall())
