"""Search by face in the tracks and persons of all time."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from api import request_bodies
from api.app_context import AppContext, Context
from api.audit_middleware import audited
from api.auth.permissions import requires
from api.query_face import FORM, FaceQuery, QueryFaceBody, read_query_face
from api.routes import snapshots
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.identity import calibration_store
from sightline.people import employees
from sightline.people.face_search import search_persons, search_tracks

router = APIRouter(tags=["search"])

_LEGACY_THRESHOLD = 0.6
"""Cosine; that of the systems that Sightline replaces."""

_MAY_SEARCH = requires(Permission.FACES_SEARCH)
_BODY = request_bodies.described(json=FaceQuery, form=FORM)


class TrackSearchMatch(BaseModel):
    """A track that looks like the query face."""

    global_id: int | None
    person_id: UUID | None = Field(description="the employee")
    name: str
    track_uuid: UUID
    camera_id: str
    day: date = Field(description="of `first_seen`, in `display.timezone`")
    first_seen: datetime
    last_seen: datetime
    score: float = Field(description="cosine")
    snapshot_url: str | None


class CameraDay(BaseModel):
    """The matches of one camera on one day, the most alike first."""

    camera_id: str
    day: date
    best_score: float
    sightings: list[TrackSearchMatch]


class SearchResult(BaseModel):
    """The matches, the most alike first; `safe` is the score at which one observation names."""

    pack: str
    threshold: float
    safe: float | None
    total: int
    days: list[CameraDay]


@router.post(
    "/api/v1/search", summary="Tracks that look like a query face",
    openapi_extra=_BODY, dependencies=[audited("search"), _MAY_SEARCH],
)  # fmt: skip
async def search(
    context: Context,
    request: Request,
    camera: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> SearchResult:
    """Search all tracks. Without a threshold: from the score at which a person is a candidate."""
    face = await read_query_face(request, context)
    where = {"camera": camera, "since": context.moment(since), "until": context.moment(until)}
    return await run_in_threadpool(_search, context, face, where)


def _search(context: AppContext, face: QueryFaceBody, where: dict[str, Any]) -> SearchResult:
    target_fpir = context.settings.match.target_fpir
    with context.db() as db:
        scale = calibration_store.calibration_in_force(db, face.pack).scale(
            employees.count(db), target_fpir
        )
        threshold = scale.unknown_threshold if face.threshold is None else face.threshold
        rows = search_tracks(
            db,
            face.pack,
            face.vector,
            limit=face.limit,
            min_score=threshold,
            zone=context.zone,
            **where,
        )
    trail.add_read_rows(rows)
    safe = scale.threshold(1)
    matches = [_match(row) for row in rows]
    return SearchResult(
        pack=face.pack,
        threshold=threshold,
        safe=safe if safe <= 1 else None,
        total=len(matches),
        days=_by_day(matches),
    )


def _match(row: dict[str, Any]) -> TrackSearchMatch:
    path = row["snapshot_path"]
    url = f"{snapshots.router.prefix}/{quote(path)}" if path else None
    return TrackSearchMatch.model_validate(row | {"snapshot_url": url})


def _by_day(matches: Iterable[TrackSearchMatch]) -> list[CameraDay]:
    days: dict[tuple[str, date], CameraDay] = {}
    for match in matches:
        key = (match.camera_id, match.day)
        if key not in days:
            days[key] = CameraDay(
                camera_id=key[0], day=key[1], best_score=match.score, sightings=[]
            )
        days[key].sightings.append(match)
    return list(days.values())


class PersonMatch(BaseModel):
    """A person, and the cosine to their best template."""

    global_id: int
    similarity: float


class PersonMatches(BaseModel):
    """The persons who look like the query face, the most alike first."""

    matches: list[PersonMatch]


@router.post(
    "/api/detected-persons/search-by-face", summary="Persons who look like a query face",
    openapi_extra=_BODY, dependencies=[audited("search"), _MAY_SEARCH],
)  # fmt: skip
async def search_by_face(context: Context, request: Request) -> PersonMatches:
    """Search all persons that the cameras have met; the default `threshold` is 0.6."""
    face = await read_query_face(request, context)
    return await run_in_threadpool(_persons, context, face)


def _persons(context: AppContext, face: QueryFaceBody) -> PersonMatches:
    threshold = _LEGACY_THRESHOLD if face.threshold is None else face.threshold
    with context.db() as db:
        rows = search_persons(db, face.pack, face.vector, threshold=threshold, limit=face.limit)
    trail.add_read_rows([{"global_id": global_id} for global_id, _score in rows])
    return PersonMatches(
        matches=[PersonMatch(global_id=global_id, similarity=score) for global_id, score in rows]
    )
