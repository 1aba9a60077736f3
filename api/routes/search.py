"""Search by face: has this person ever been here?"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from api import bodies
from api.audited import audited
from api.auth.needs import needs
from api.export import utc
from api.parts import Given, Parts
from api.probes import FORM, Face, Probe, read_probe
from api.routes import snapshots
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.identity import calibration_store
from sightline.people import employees
from sightline.people.face_search import search_persons, search_tracks

router = APIRouter(tags=["search"])

_KEPT_THRESHOLD = 0.6

_MAY_SEARCH = needs(Permission.FACES_SEARCH)
_BODY = bodies.described(json=Probe, form=FORM)


class Match(BaseModel):
    """A track that looks like it."""

    global_id: int | None
    person_id: UUID | None = Field(description="the employee")
    name: str
    track_uuid: UUID
    camera_id: str
    day: date = Field(description="UTC")
    first_seen: datetime
    last_seen: datetime
    score: float = Field(description="cosine")
    snapshot_url: str | None


class CameraDay(BaseModel):
    """What one camera saw on one day (UTC), the most alike first."""

    camera_id: str
    day: date
    best_score: float
    sightings: list[Match]


class Found(BaseModel):
    """Who looks like it, the most alike first; `safe` is the score of one shot that names."""

    pack: str
    threshold: float
    safe: float | None
    total: int
    days: list[CameraDay]


@router.post(
    "/api/v1/search", summary="Where and when somebody who looks like this was seen",
    openapi_extra=_BODY, dependencies=[audited("search"), _MAY_SEARCH],
)  # fmt: skip
async def search(
    parts: Given,
    request: Request,
    camera: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Found:
    """Over all time, enrolled or not. Without a threshold: from where on somebody comes near."""
    face = await read_probe(request, parts)
    where = {"camera": camera, "since": utc(since), "until": utc(until)}
    return await run_in_threadpool(_search, parts, face, where)


def _search(parts: Parts, face: Face, where: dict[str, Any]) -> Found:
    wanted = parts.settings.match.wanted_false_name_rate
    with parts.db() as db:
        scale = calibration_store.in_force(db, face.pack).scale(employees.count(db), wanted)
        threshold = scale.newcomer if face.threshold is None else face.threshold
        rows = search_tracks(
            db, face.pack, face.vector, limit=face.limit, min_score=threshold, **where
        )
    trail.seen(rows)
    safe = scale.threshold(1)
    matches = [_match(row) for row in rows]
    return Found(
        pack=face.pack,
        threshold=threshold,
        safe=safe if safe <= 1 else None,
        total=len(matches),
        days=_by_day(matches),
    )


def _match(row: dict[str, Any]) -> Match:
    path = row["snapshot_path"]
    url = f"{snapshots.router.prefix}/{quote(path)}" if path else None
    return Match.model_validate(row | {"snapshot_url": url})


def _by_day(matches: Iterable[Match]) -> list[CameraDay]:
    days: dict[tuple[str, date], CameraDay] = {}
    for one in matches:
        key = (one.camera_id, one.day)
        if key not in days:
            days[key] = CameraDay(camera_id=key[0], day=key[1], best_score=one.score, sightings=[])
        days[key].sightings.append(one)
    return list(days.values())


class Alike(BaseModel):
    """A person, and the cosine to their best look."""

    global_id: int
    similarity: float


class Matches(BaseModel):
    """The people who look like it, the most alike first."""

    matches: list[Alike]


@router.post(
    "/api/detected-persons/search-by-face", summary="People who look like this",
    openapi_extra=_BODY, dependencies=[audited("search"), _MAY_SEARCH],
)  # fmt: skip
async def search_by_face(parts: Given, request: Request) -> Matches:
    """Among all whom the cameras have met; `threshold` is 0.6 where none is given."""
    face = await read_probe(request, parts)
    return await run_in_threadpool(_persons, parts, face)


def _persons(parts: Parts, face: Face) -> Matches:
    threshold = _KEPT_THRESHOLD if face.threshold is None else face.threshold
    with parts.db() as db:
        found = search_persons(db, face.pack, face.vector, threshold=threshold, limit=face.limit)
    trail.seen([{"global_id": person} for person, _score in found])
    return Matches(matches=[Alike(global_id=person, similarity=score) for person, score in found])
