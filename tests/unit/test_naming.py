"""Names that are protocol: what is built is parsed back, and nothing else builds or parses it."""

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import naming
from schemas.naming import (
    AdvisoryLock,
    FactKey,
    FactKind,
    LockKind,
    StateKey,
    checked_fleet,
    fleet_of,
    is_of_run,
    live_name,
    lock_number,
    match_group,
    of_run,
    parse_fact_key,
    parse_person,
    parse_state_key,
    run_groups,
    run_topics,
    safe_name,
    sink_group,
    snapshot_key,
    topic_kind,
    vision_group,
)
from schemas.topics import LIVE, MATCH_STATE, SIGHTINGS, all_topics, frames
from tests.words import modules

NAMES = st.text(min_size=1, max_size=40)
TRACK = "0f6a1a52-6c3e-5c8a-9d55-0d5f3f6f7a10"
AT = datetime(2026, 11, 21, 10, 15, 30, 250_000, UTC)

NO_PROTOCOL = {
    "sightline-": "the prefix of a dashboard's uid",
    "/var/lib/sightline-postgres": "a folder",
    "sightline-postgres": "a user of the operating system",
    "sightline-demo-": "the prefix of a temporary folder",
    "sightline-backup": "a file format",
    "sightline-people": "a file format",
}
"""Literals that look like a name of protocol and are none."""

SPELLED = re.compile(
    r"""\.run-
    | ^(?:track|person|calibration|walking|run|[tp])\|
    | ^sightline-
    | ^(?:runs|known|unknown|enrollment_photos|objects|outbox)/
    | ^(?:pending_snapshots|face_templates|person_tracks)/
    | ^(?:frames|vision-state)\.
    | ^(?:run_|replaced_)$ | (?:run|replaced)\\_%
    | hashtext""",
    re.VERBOSE,
)


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


def test_the_name_of_a_runs_topic_tells_the_live_name_and_the_kind() -> None:
    for topic in all_topics(("hall", "north.2")):
        name = of_run(topic, "a").name
        assert live_name(name) == topic.name
        assert live_name(topic.name) == topic.name
        assert topic_kind(name).replace("-", "_") == topic.kind
    assert fleet_of(of_run(frames("north.2"), "a").name) == "north.2"
    assert fleet_of(SIGHTINGS.name) == ""


def test_fausts_changelog_is_the_topic_that_the_registry_names() -> None:
    assert MATCH_STATE.name == f"{match_group(LIVE)}-state-changelog"


@pytest.mark.parametrize(
    ("key", "parsed"),
    [
        (naming.calibration_fact_key("a|b"), FactKey(FactKind.CALIBRATION, "a|b")),
        (naming.walking_fact_key("gate", "door"), FactKey(FactKind.WALKING_TIME, "door", "gate")),
        (naming.walking_fact_key("door", "gate"), FactKey(FactKind.WALKING_TIME, "door", "gate")),
        (naming.track_fact_key(UUID(TRACK)), FactKey(FactKind.TRACK, TRACK)),
        (naming.person_fact_key(17), FactKey(FactKind.PERSON, "17")),
        ("nonsense", FactKey("nonsense", "")),
    ],
)
def test_keys_of_facts_are_parsed_as_they_are_built(key: str, parsed: FactKey) -> None:
    assert parse_fact_key(key) == parsed


def test_keys_of_the_changelog_are_parsed_as_they_are_built() -> None:
    track, person = naming.track_state_key("north", TRACK), naming.person_state_key("north", 17)
    assert (naming.is_track_state(track), naming.is_person_state(track)) == (True, False)
    assert (naming.is_track_state(person), naming.is_person_state(person)) == (False, True)
    fixtures = naming.fixtures_state_key("north", "door")
    assert [naming.is_fixtures_state(key) for key in (track, person, fixtures)] == [
        False,
        False,
        True,
    ]
    assert parse_state_key(fixtures) == StateKey("north", "door")
    assert parse_state_key(track) == StateKey("north", TRACK)
    assert parse_state_key(person) == StateKey("north", "17")
    assert parse_state_key(b"\xff\xfe") == StateKey("", "")


@given(name=NAMES, other=NAMES, run=st.sampled_from([LIVE, "a", "unknown"]))
def test_an_objects_key_tells_whose_it_is(name: str, other: str, run: str) -> None:
    snapshot = snapshot_key(naming.run_prefix(run), name, AT, TRACK)
    photos = itertools.islice(naming.photo_keys(name), 3)
    for key in (snapshot, *photos):
        assert parse_person(key) == safe_name(name)
        assert (parse_person(key) == safe_name(other)) == (name == other)
    prefixes = [naming.run_prefix(run) + prefix for prefix in naming.person_prefixes(name)]
    assert any(snapshot.startswith(prefix) for prefix in prefixes)


def test_a_hash_of_digits_alone_is_no_number_of_a_photo() -> None:
    name = "Ann 106!"
    assert safe_name(name) == "Ann_106_-5125672889"
    for key in itertools.islice(naming.photo_keys(name), 2):
        assert parse_person(key) == safe_name(name)


def test_keys_of_unknown_people_and_of_trials_name_nobody() -> None:
    for run in (LIVE, "a"):
        key = snapshot_key(naming.run_prefix(run), None, AT, TRACK)
        assert key.endswith("unknown/2026-11-21/10-15-30.250_0f6a1a52.jpg")
        assert parse_person(key) is None
    assert parse_person(naming.trial_key(UUID(TRACK))) is None


def test_encryption_contexts_tell_their_kind_and_row() -> None:
    for context, kind in (
        (naming.template_context(TRACK), "face_templates"),
        (naming.track_context(UUID(TRACK)), "person_tracks"),
        (naming.pending_snapshot_context(TRACK), "pending_snapshots"),
    ):
        assert naming.context_kind(context) == kind
        assert naming.context_row(context) == TRACK
    assert naming.context_kind(naming.object_context("known/Ann.jpg")) == "objects"
    assert naming.context_kind(naming.outbox_context("facts", "person|1")) == "outbox"


def test_advisory_locks_are_told_apart() -> None:
    numbers = [*AdvisoryLock, *(lock_number(kind, "a") for kind in LockKind)]
    numbers += [lock_number(LockKind.RUN, "b")]
    assert len(set(numbers)) == len(numbers)
    assert all(-(2**63) <= number < 2**63 for number in numbers)
    # PostgreSQL compares the two halves in pg_locks.
    assert len({lock & 0xFFFFFFFF for lock in AdvisoryLock}) == len(AdvisoryLock)


@pytest.mark.parametrize(
    "line",
    [
        'x = f"track|{y}"', 'x = key.startswith(b"t|")', 'x = f"{topic}.run-{run}"',
        'x = f"sightline-vision-{fleet}"', 'x = f"enrollment_photos/{y}"', "x = 0x516874_0001",
        'x = f"run_{run}"', 'x = name.startswith("frames.")', 'x = f"outbox/{y}/{z}"',
    ],
)  # fmt: skip
def test_a_name_that_is_spelled_is_found(line: str) -> None:
    assert list(_spelled(list(ast.walk(ast.parse(line)))))


@pytest.mark.slow
def test_no_other_module_spells_a_name_that_is_protocol() -> None:
    contract = {f"schemas/{name}" for name in ("naming.py", "topics.py", "ids.py")}
    spelled = [
        f"{path}:{line}: {literal!r}"
        for path, nodes in modules()
        if path not in contract and "migrations" not in path.split("/")
        for line, literal in _spelled(nodes)
    ]
    assert not spelled, "\n".join(spelled)


def _spelled(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, object]]:
    """Yield literals of a module that spell a name of protocol, with their lines."""
    prose = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in nodes:
        if not isinstance(node, ast.Constant) or id(node) in prose:
            continue
        value = node.value
        if isinstance(value, int) and value >> 16 == 0x516874:
            yield node.lineno, value
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str) and text not in NO_PROTOCOL and SPELLED.search(text):
            yield node.lineno, text
