"""The matching stream is killed, and nobody is lost or gets a second id."""

from pathlib import Path

import pytest

from schemas import ids
from sightline.runtime.settings import Settings
from tests.match_support import Walk, last_of, produce, said, sightings, worker
from tests.stack.match_gate import gate
from tests.support import eventually

pytestmark = pytest.mark.stack


def test_a_stranger_keeps_one_id_over_a_kill_and_on_another_camera(
    stack: Settings, tmp_path: Path
) -> None:
    site = "match-stranger"
    with worker(stack, tmp_path) as first:
        met = Walk(8, "match-5", site)
        produce(stack, met.whole())
        unknown = said(stack, met)
        assert unknown.global_id == ids.global_id(met.track_id)
        assert unknown.person_id == ""
        under_way = Walk(9, "match-5", site)
        produce(stack, [under_way.shot(0), under_way.shot(1)])
        eventually(lambda: last_of(sightings(stack, site), under_way))
        first.kill()
    with worker(stack, tmp_path) as second:
        returned = Walk(8, "match-6", site, at_s=60)
        other = Walk(10, "match-6", site, at_s=60)
        produce(stack, [*returned.whole(), *other.whole(), under_way.shot(2), under_way.end()])
        assert said(stack, returned).global_id == unknown.global_id
        assert said(stack, other).global_id not in (0, unknown.global_id)
        # Two of its three shots came back from the changelog.
        assert said(stack, under_way).shots == 3
        assert second.stop() == 0, second.log()


def test_every_shot_has_its_sighting_whoever_dies(stack: Settings, tmp_path: Path) -> None:
    report = gate(stack, tmp_path, ["kill", "before-state", "freeze"], seed=1)
    assert report.failures() == [], report
    assert report.observations > 300
