"""Somebody takes a known person's place, and two people cross: real models on drawn films."""

from pathlib import Path

import pytest

from benchmarks import relay
from sightline.models.interface import ModelPack
from sightline.runtime import metrics
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models

FPS = 5
"""Frames a second: enough for either pack's tracker."""


@pytest.mark.parametrize("gap", [1.0])
def test_whoever_takes_a_known_persons_place_has_a_track_of_their_own_dlib(gap: float) -> None:
    scene = relay.relay(gap, first=3.0, second=5.0, fps=FPS)
    result = relay.watch(load_pack_of(None), scene, FPS)
    assert relay.is_right(result), result.parts


@pytest.mark.parametrize("gap", [0.0])
def test_whoever_takes_a_known_persons_place_has_a_track_of_their_own(
    shared: Path, gap: float
) -> None:
    scene = relay.relay(gap, first=3.0, second=5.0, fps=FPS)
    result = relay.watch(load_pack_of(shared / "models"), scene, FPS)
    assert relay.is_right(result), result.parts


def test_of_two_people_who_cross_no_name_moves(shared: Path) -> None:
    scene = relay.crossing(3, fps=10)
    splits = metrics.TRACK_SPLITS._value.get()
    result = relay.watch(load_pack_of(shared / "models"), scene, 10)
    assert metrics.TRACK_SPLITS._value.get() == splits
    # Whoever is hidden for long may come back as a new track, of the same person.
    assert {part.person for part in result.parts if part.person} == {
        relay.KNOWN,
        relay.OTHER_KNOWN,
    }
    # A tracker that exchanges the two is put right by their faces, some frames later.
    assert relay.moved_names(scene, result) <= 5


def check_portrait(pack: ModelPack) -> None:
    result = relay.watch(pack, relay.portrait(fps=FPS), FPS)
    named = [part for part in result.parts if part.person]
    assert {part.person for part in named} == {relay.KNOWN}, result.parts
    assert min(part.started for part in named) >= 5, "the portrait was there from the start"


def test_the_person_has_the_name_and_the_portrait_has_none_dlib() -> None:
    check_portrait(load_pack_of(None))


def test_the_person_has_the_name_and_the_portrait_has_none(shared: Path) -> None:
    check_portrait(load_pack_of(shared / "models"))
