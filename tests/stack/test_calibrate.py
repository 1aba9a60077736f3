"""`sightline calibrate` keeps what it measures, and running matchers decide by it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ops.calibration.fit import calibrate
from ops.demo.demo_persons import DEMO_PERSONS, enrolment_photo
from processors.match.reference.facts import Facts
from schemas.decode import InvalidMessageError
from schemas.topics import FACTS
from sightline.identity import calibration_store
from sightline.identity.calibration import builtin_calibration
from sightline.identity.evidence import Observation
from sightline.people import employees
from sightline.people.employees import EmployeeProfile
from sightline.people.photos import PhotoTemplate
from sightline.runtime.errors import NotFoundError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.outbox import deliver
from tests.stack.commands_support import run, sightline_json
from tests.support import read_topic, run_sightline

pytestmark = pytest.mark.stack

PACK = "calibrated-pack"


def people(seed: int, count: int = 6) -> dict[str, list[Observation]]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((count, 64))
    return {
        f"p{person}": [
            Observation(f"{person}-{number}", unit(centre + 0.4 * random.standard_normal(64)), 0.9)
            for number in range(4)
        ]
        for person, centre in enumerate(centres)
    }


def unit(vector: Any) -> Any:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def told(settings: Settings) -> Facts:
    """What a matcher knows that reads the facts now."""
    facts = Facts()
    for record in read_topic(settings, FACTS.name):
        with suppress(InvalidMessageError):  # of another test
            facts.put(record.key or b"", record.value)
    return facts


@pytest.fixture
def restored(stack: Settings) -> Iterator[Settings]:
    """Other tests decide by the calibrations that come along."""
    yield stack
    with connect(stack) as db, db.cursor() as cursor:
        for pack in (PACK, "dlib"):
            calibration_store.activate_builtin(cursor, pack)
        cursor.execute("DELETE FROM calibrations WHERE pack IN (%s, 'dlib')", (PACK,))
    deliver(stack)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six people of the demo, three photos each: in other light, sharpness and size."""
    folder = tmp_path_factory.mktemp("portraits")
    for member in DEMO_PERSONS:
        own = folder / member.name
        own.mkdir()
        for number, (light, blur, size) in enumerate(
            ((1.0, 0.3, 1.0), (0.7, 0.8, 0.9), (1.2, 0.6, 0.8))
        ):
            lit = np.clip(enrolment_photo(member).astype(np.float32) * light, 0, 255).astype(
                np.uint8
            )
            small = cv2.resize(cv2.GaussianBlur(lit, (0, 0), blur), None, fx=size, fy=size)
            assert cv2.imwrite(str(own / f"{number}.jpg"), small)
    return folder


def test_the_command_keeps_and_publishes_what_it_measures(restored: Settings, folder: Path) -> None:
    document = sightline_json(restored, "calibrate", "measure", str(folder))
    assert (document["pack"], document["people"], document["portraits"]) == ("dlib", 6, 18)
    with connect(restored) as db:
        kept = calibration_store.calibration_in_force(db, "dlib")
    assert kept.id == document["id"] and kept.measured
    assert told(restored).scale("dlib", 5, 1e-2) == kept.scale(5, 1e-2)

    (row,) = [one for one in sightline_json(restored, "calibrate", "list") if one["pack"] == "dlib"]
    assert row["calibration_id"] == kept.id and row["in_force"] is True
    drawn = folder / "det.png"
    shown = run_sightline(
        restored.home, "calibrate", "show", "--report", str(drawn), env={"COLUMNS": "100"}
    )
    assert kept.id in shown.stdout and "not promised" in shown.stdout
    assert drawn.read_bytes().startswith(b"\x89PNG")

    with connect(restored) as db:
        db.execute(
            "UPDATE calibrations SET calibration = calibration - 'agree' WHERE in_force"
            " AND pack = 'dlib'"
        )
    failed = run_sightline(restored.home, "calibrate", "show", check=False)
    assert failed.returncode == 1 and "cannot be read: measure again" in failed.stderr
    run(restored, "calibrate", "activate", "builtin")
    assert told(restored).scale("dlib", 5, 1e-2) == builtin_calibration("dlib").scale(5, 1e-2)


def test_the_command_takes_enrolled_people_for_strangers_too(
    restored: Settings, folder: Path
) -> None:
    both = sightline_json(
        restored, "calibrate", "measure", str(folder), "--impostors", "both", "--dry-run"
    )
    assert both["people"] >= 6 and "enrolled here and those of the folder" in both["source"]
    with connect(restored) as db:
        assert calibration_store.calibration_in_force(db, "dlib") == builtin_calibration("dlib")


def test_one_calibration_of_a_pack_is_in_force(restored: Settings) -> None:
    first, second = (calibrate(PACK, people(seed), f"seed {seed}").calibration for seed in (1, 2))
    with connect(restored) as db:
        assert calibration_store.calibration_in_force(db, PACK) == builtin_calibration(PACK)
        for one in (first, second, first):
            with db.transaction(), db.cursor() as cursor:
                calibration_store.save(cursor, one)
            assert calibration_store.calibration_in_force(db, PACK) == one
        with db.transaction(), db.cursor() as cursor:
            calibration_store.activate(cursor, second.id)
        rows = [row for row in calibration_store.list_calibrations(db) if row["pack"] == PACK]
        assert {row["calibration_id"]: row["in_force"] for row in rows} == {
            first.id: False,
            second.id: True,
        }
    deliver(restored)
    assert told(restored).scale(PACK, 9, 1e-2) == second.scale(9, 1e-2)


def test_what_is_kept_only_is_not_published(restored: Settings) -> None:
    found = calibrate(PACK, people(3), "seed 3").calibration
    with connect(restored) as db:
        with db.transaction(), db.cursor() as cursor:
            calibration_store.save(cursor, found, activate=False)
        assert calibration_store.calibration_in_force(db, PACK) == builtin_calibration(PACK)
        with db.cursor() as cursor:
            assert calibration_store.get_calibration(cursor, found.id) == found
            with pytest.raises(NotFoundError, match="no calibration measured-nothing"):
                calibration_store.activate(cursor, "measured-nothing")
    deliver(restored)
    assert told(restored).scale(PACK, 9, 1e-2).calibration == "builtin-unknown"


def test_enrolled_people_can_be_the_strangers(restored: Settings) -> None:
    from ops.calibration.labelled_photos import enrolled_templates

    names = [f"Calibrated {number}" for number in range(6)]
    with connect(restored) as db:
        try:
            with db.cursor() as cursor:
                for name, own in zip(names, people(4).values(), strict=True):
                    person, _ = employees.find_or_add(cursor, name, EmployeeProfile())
                    for shot in own:
                        look = PhotoTemplate(b"", shot.embedding, shot.quality)
                        employees.add_template(cursor, person, PACK, f"photos/{shot.id}", look)
                found = enrolled_templates(db, PACK)
                assert sorted(map(len, found.values())) == [4] * 6
                fitted = calibrate(PACK, people(5), "folder", impostors=found)
        finally:
            db.rollback()
    again = calibrate(PACK, people(5), "folder", impostors=people(4)).calibration
    assert fitted.calibration.impostors[0].pairs == again.impostors[0].pairs == 15
    assert fitted.calibration.scale(10, 1e-2).threshold(1) == pytest.approx(
        again.scale(10, 1e-2).threshold(1), abs=0.02
    )
