"""Calibrations in the database, and their facts for the matchers."""

from typing import Any

from schemas import sightline_pb2 as pb
from schemas.naming import LockKind, calibration_fact_key, lock_number
from schemas.topics import FACTS
from sightline.identity.calibration import Calibration, builtin_calibration
from sightline.runtime.errors import NotFoundError, SightlineError
from sightline.storage.db import Connection, Cursor, dict_rows
from sightline.storage.outbox import enqueue


def calibration_in_force(db: Connection, pack: str) -> Calibration:
    """Return the calibration in force for a pack: the activated one, else the built-in one.

    Raises SightlineError if the stored calibration cannot be read.
    """
    row = db.execute(
        "SELECT calibration::text FROM calibrations WHERE pack = %s AND in_force", (pack,)
    ).fetchone()
    return _read(row[0], pack) if row else builtin_calibration(pack)


def save(cursor: Cursor, calibration: Calibration, *, activate: bool = True) -> None:
    """Store a calibration; with `activate` it is in force once the transaction has committed."""
    cursor.execute(
        "INSERT INTO calibrations (calibration_id, pack, calibration) VALUES (%s, %s, %s)"
        " ON CONFLICT (calibration_id) DO NOTHING",
        (calibration.id, calibration.pack, calibration.model_dump_json()),
    )
    if activate:
        _activate(cursor, calibration)


def activate(cursor: Cursor, calibration_id: str) -> Calibration:
    """Put a stored calibration in force. Raises NotFoundError."""
    calibration = get_calibration(cursor, calibration_id)
    _activate(cursor, calibration)
    return calibration


def activate_builtin(cursor: Cursor, pack: str) -> Calibration:
    """Put a pack's built-in calibration in force, once the transaction has committed."""
    _take_out_of_force(cursor, pack)
    enqueue(cursor, FACTS.name, calibration_fact_key(pack), None)
    return builtin_calibration(pack)


def get_calibration(cursor: Cursor, calibration_id: str) -> Calibration:
    """Return a stored calibration. Raises NotFoundError."""
    row = cursor.execute(
        "SELECT calibration::text FROM calibrations WHERE calibration_id = %s", (calibration_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no calibration {calibration_id[:80]}; see `sightline calibrate list`")
    return _read(row[0], calibration_id)


def _read(text: str, label: str) -> Calibration:
    try:
        return Calibration.model_validate_json(text)
    except ValueError as error:
        raise SightlineError(
            f"the stored calibration of {label[:80]} cannot be read: measure again, or go back"
            " with `sightline calibrate activate builtin`"
        ) from error


def _activate(cursor: Cursor, calibration: Calibration) -> None:
    _take_out_of_force(cursor, calibration.pack)
    cursor.execute(
        "UPDATE calibrations SET in_force = true WHERE calibration_id = %s", (calibration.id,)
    )
    text = calibration.model_dump_json()
    fact = pb.Fact(calibration=pb.Calibration(pack=calibration.pack, json=text))
    enqueue(cursor, FACTS.name, calibration_fact_key(calibration.pack), fact.SerializeToString())


def _take_out_of_force(cursor: Cursor, pack: str) -> None:
    # Without it two transactions could both activate a pack's first calibration: there is no row
    # to lock, and the facts of one key must be in the order of the commits.
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number(LockKind.CALIBRATION, pack),))
    cursor.execute("UPDATE calibrations SET in_force = false WHERE pack = %s AND in_force", (pack,))


_LISTED = """
SELECT calibration_id, pack, in_force, made_at, (calibration ->> 'people')::integer AS people,
    (calibration ->> 'portraits')::integer AS portraits, calibration ->> 'source' AS source
FROM calibrations ORDER BY pack, made_at
"""


def list_calibrations(db: Connection) -> list[dict[str, Any]]:
    """Return the stored calibrations ordered by pack and time."""
    return dict_rows(db, _LISTED)
