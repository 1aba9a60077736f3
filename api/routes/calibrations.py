"""Calibrations: false-match rates of the scores of model packs."""

import math
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.app_context import Context
from api.auth.permissions import requires
from sightline.audit.roles import Permission
from sightline.identity import calibration_store
from sightline.identity.calibration import Calibration
from sightline.people import employees

router = APIRouter(prefix="/api/v1/calibrations", tags=["calibrations"])


class StoredCalibration(BaseModel):
    """A calibration that was measured here."""

    calibration_id: str
    pack: str
    in_force: bool
    made_at: datetime
    people: int | None
    portraits: int | None
    source: str | None


class TrackThreshold(BaseModel):
    """The score that names a track of so many agreeing observations; null: no score does."""

    shots: int
    score: float | None


class CalibrationInForce(BaseModel):
    """The calibration and the thresholds of decisions with a pack now."""

    pack: str
    target_fpir: float
    enrolled_people: int
    thresholds: list[TrackThreshold]
    newcomer: float = Field(description="below this against everybody: an unknown person")
    refusal: str | None = Field(description="why the target rate cannot be promised")
    calibration: Calibration


@router.get(
    "", summary="The calibrations that were measured here",
    dependencies=[requires(Permission.CAMERAS_READ, scoped=True)],
)  # fmt: skip
def list_calibrations(context: Context) -> list[StoredCalibration]:
    """List them by pack and time."""
    with context.db() as db:
        return [
            StoredCalibration.model_validate(row) for row in calibration_store.list_calibrations(db)
        ]


@router.get(
    "/{pack}", summary="The calibration of a pack that is in force",
    dependencies=[requires(Permission.CAMERAS_READ, scoped=True)],
)  # fmt: skip
def get_calibration(
    context: Context, pack: Annotated[str, Path(max_length=200, description="its id")]
) -> CalibrationInForce:
    """Return it with the thresholds that follow for the number of people enrolled now.

    A pack that was never measured has a cautious one.
    """
    target_fpir = context.settings.match.target_fpir
    with context.db() as db:
        calibration = calibration_store.calibration_in_force(db, pack)
        people = employees.count(db)
    scale = calibration.scale(people, target_fpir)
    scores = {shots: scale.threshold(shots) for shots in range(1, len(scale.name_thresholds) + 1)}
    return CalibrationInForce(
        pack=pack,
        target_fpir=target_fpir,
        enrolled_people=people,
        thresholds=[
            TrackThreshold(shots=shots, score=score if math.isfinite(score) else None)
            for shots, score in scores.items()
        ],
        newcomer=scale.unknown_threshold,
        refusal=calibration.unsupported_reason(people, target_fpir),
        calibration=calibration,
    )
