"""Names of topics and consumer groups: those of a run are told from those of the installation."""

import pytest

from schemas.naming import (
    checked_fleet,
    is_of_run,
    live_name,
    match_group,
    run_groups,
    run_topics,
    sink_group,
    vision_group,
)
from schemas.topics import LIVE, all_topics, of_run


def test_names_of_the_live_run_have_no_suffix() -> None:
    groups = (vision_group("hall", LIVE), match_group(LIVE), sink_group("access-log", LIVE))
    assert groups == ("sightline-vision-hall", "sightline-match", "sightline-access-log")
    assert not any(is_of_run(name) for name in groups)


def test_a_runs_names_are_those_that_are_built_from_the_contract() -> None:
    assert {topic.name for topic in run_topics("a", ["hall"])} == {
        "faces.run-a", "sightings.run-a", "snapshots.run-a", "tracks.run-a",
        "vision-state.hall.run-a",
    }  # fmt: skip
    assert run_groups("a", ["hall"], ["access-log"]) == {
        "sightline-vision-hall.run-a", "sightline-match.run-a", "sightline-access-log.run-a",
    }  # fmt: skip


def test_the_live_run_has_no_names_of_its_own() -> None:
    with pytest.raises(ValueError, match="live"):
        run_topics(LIVE, ["default"])
    with pytest.raises(ValueError, match="live"):
        run_groups(LIVE, ["default"], ["access-log"])


def test_no_fleet_makes_a_name_of_the_installation_read_as_a_runs() -> None:
    for fleet in ("hall.run-a", "run-a"):
        with pytest.raises(ValueError, match="reads as the name of a run"):
            checked_fleet(fleet)
    for fleet in ("hall", "rerun-a", "a.b-c", "hall.runs"):
        assert not any(is_of_run(topic.name) for topic in all_topics((checked_fleet(fleet),)))
    for topic in all_topics(("hall",)):
        assert live_name(of_run(topic, "a").name) == topic.name
