"""Calibrations: what the scores of model packs mean."""

import math
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.auth.needs import needs
from api.parts import Given
from sightline.audit.roles import Permission
from sightline.identity import calibration_store
from sightline.identity.calibration import Calibration
from sightline.people import employees

router = APIRouter(prefix="/api/v1/calibrations", tags=["calibrations"])


class Stored(BaseModel):
    """A calibration that was measured here."""

    calibration_id: str
    pack: str
    in_force: bool
    made_at: datetime
    people: int | None
    portraits: int | None
    source: str | None


class Threshold(BaseModel):
    """From where a track of so many agreeing shots gets a name; null: it gets none."""

    shots: int
    score: float | None


class InForce(BaseModel):
    """What decisions with a pack go by now."""

    pack: str
    wanted_false_name_rate: float
    enrolled_people: int
    thresholds: list[Threshold]
    newcomer: float = Field(description="below this against everybody: a person nobody knows")
    refusal: str | None = Field(description="why the wanted rate cannot be promised")
    calibration: Calibration


@router.get(
    "", summary="The calibrations that were measured here",
    dependencies=[needs(Permission.CAMERAS_READ, scoped=True)],
)  # fmt: skip
def list_calibrations(parts: Given) -> list[Stored]:
    """By pack and time."""
    with parts.db() as db:
        return [Stored.model_validate(row) for row in calibration_store.listed(db)]


@router.get(
    "/{pack}", summary="The calibration of a pack that is in force",
    dependencies=[needs(Permission.CAMERAS_READ, scoped=True)],
)  # fmt: skip
def get_calibration(
    parts: Given, pack: Annotated[str, Path(max_length=200, description="its id")]
) -> InForce:
    """With the thresholds that follow for the people enrolled now.

    A pack that was never measured has a cautious one.
    """
    wanted = parts.settings.match.wanted_false_name_rate
    with parts.db() as db:
        calibration = calibration_store.in_force(db, pack)
        people = employees.count(db)
    scale = calibration.scale(people, wanted)
    scores = {shots: scale.threshold(shots) for shots in range(1, len(scale.names) + 1)}
    return InForce(
        pack=pack,
        wanted_false_name_rate=wanted,
        enrolled_people=people,
        thresholds=[
            Threshold(shots=shots, score=score if math.isfinite(score) else None)
            for shots, score in scores.items()
        ],
        newcomer=scale.newcomer,
        refusal=calibration.refusal(people, wanted),
        calibration=calibration,
    )
