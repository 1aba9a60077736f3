"""Spoilt records and requests, a few of them: `make fuzz` sends ten thousand of each."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from benchmarks.fuzz.mutate import Mutator
from benchmarks.fuzz.seeds import CAMERA, SITE, of_topics
from benchmarks.rig import add_cameras
from schemas.topics import FACES, MATCH_STATE, MOTION_EVENTS
from sightline.runtime.settings import Settings
from sightline.storage.cameras import NewCamera
from tests.support import run_sightline

pytestmark = pytest.mark.stack


def test_the_same_seed_spoils_in_the_same_way() -> None:
    seeds = of_topics()[FACES.name]
    one, same, other = (
        list(Mutator(seeds, [seeds[0][1]], seed).records(200)) for seed in (1, 1, 2)
    )
    assert one == same != other
    good = {message.SerializeToString() for _, message in seeds}
    assert sum(record.value not in good for record in one) > 100


def test_nothing_that_arrives_ends_a_process_and_every_refusal_is_counted(home: Path) -> None:
    from benchmarks.fuzz.__main__ import fuzz_records, fuzz_requests  # takes long to load

    # A stack of its own: what other tests look at is not to be spoilt.
    run_sightline(home, "up", seconds=300)
    settings = Settings(home=home)
    add_cameras(settings, [NewCamera(camera_id=CAMERA, uri=SecretStr("none"), site_id=SITE)])
    topics = (MOTION_EVENTS.name, FACES.name, MATCH_STATE.name)
    rows = fuzz_records(settings, 200, 1, lambda name: name in topics)
    assert [row.topic for row in rows] == list(topics)
    assert [row for row in rows if not row.is_right()] == []
    assert all(row.refused and row.taken for row in rows[:2])
    # With a path alone, and with a body too: to invent bodies is what takes time.
    paths = ("/persons/{global_id}", "/persons/{global_id}/merge")
    answers = fuzz_requests(settings, 10, 1, lambda name: name.endswith(paths))
    assert len(answers) == 3
    assert [one for one in answers if not one.is_right()] == []
    assert all(one.sent >= 10 for one in answers)
