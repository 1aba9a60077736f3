"""The matching stream on the real broker, its source written in transactions as vision does."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from confluent_kafka import Producer

from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.topics import FACES, FACTS
from sightline.people import employees
from sightline.people.employees import EmployeeProfile
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.outbox import deliver, enqueue
from sightline.streaming.client_config import producer_config
from tests.match_support import (
    Walk,
    Worker,
    enrol_numbers,
    last_of,
    produce,
    said,
    shot_of,
    sightings,
    worker,
)
from tests.metrics_support import processes, total
from tests.support import dead_letters, eventually

pytestmark = pytest.mark.stack

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def matcher(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("match")
    with worker(stack, folder, SIGHTLINE_LOG_FORMAT="json") as process:
        yield process
        assert process.stop() == 0, process.log()


def test_an_enrolled_person_is_named_from_agreeing_shots(stack: Settings, matcher: Worker) -> None:
    person_id = enrol_numbers(stack, "Match Ann", 1)
    walk = Walk(1, "match-1", "match-name")
    # Shots none of which would be safe alone.
    produce(stack, [walk.shot(number, likeness=0.55) for number in range(6)])

    def confirmed() -> list[pb.Sighting]:
        of_track = [
            sighting
            for sighting in sightings(stack, walk.site)
            if sighting.track_id == walk.track_id
        ]
        return [sighting for sighting in of_track if sighting.status == pb.Sighting.CONFIRMED]

    (sighting,) = eventually(confirmed)
    assert (sighting.name, sighting.person_id) == ("Match Ann", person_id)
    assert sighting.is_authorized
    assert sighting.global_id == ids.global_id(person_id)
    assert 2 <= sighting.shots <= 6
    assert sighting.score >= sighting.threshold
    assert sighting.reason
    assert (sighting.candidate, sighting.candidate_score) == (person_id, sighting.score)
    assert sighting.wanted_rate == stack.match.target_fpir
    assert sighting.gallery_people >= 1
    assert sighting.calibration
    assert sighting.gallery_revision > 0
    assert sighting.template
    assert sighting.frame.topic == "frames.default"
    assert (sighting.width, sighting.height) == (640, 360)
    assert sighting.first_seen_us == walk.start_us
    assert sighting.decided_at_us == walk.start_us + (sighting.shots - 1) * 300_000
    produce(stack, [walk.end()])
    ended = said(stack, walk)
    assert (ended.name, ended.shots) == ("Match Ann", 6)
    assert ended.confidence >= sighting.confidence
    order = [sighting.status for sighting in sightings(stack, walk.site)]
    assert order == [pb.Sighting.PROVISIONAL, pb.Sighting.CONFIRMED, pb.Sighting.ENDED]

    lines = [json.loads(line) for line in matcher.log().splitlines() if walk.track_id in line]
    (line,) = [line for line in lines if line["level"] == "INFO"]
    assert (line["camera"], line["track"]) == (walk.camera, walk.track_id)
    assert (line["person"], line["topic"]) == (sighting.global_id, FACES.name)
    assert {"partition", "offset", "event"} <= line.keys()
    assert sighting.name not in str(line)


def test_a_running_matcher_knows_and_forgets_a_person_within_two_seconds(
    stack: Settings, matcher: Worker
) -> None:
    site = "match-soon"
    numbers = count()

    def walked() -> pb.Sighting:
        walk = Walk(2, "match-2", site, at_s=60.0 * next(numbers))
        produce(stack, walk.whole())
        return said(stack, walk)

    def becomes(what: str, is_so: Callable[[pb.Sighting], bool]) -> None:
        """Walk until a walk ends so."""
        changed = time.monotonic()
        eventually(lambda: is_so(walked()), what=what)
        log.info("%s: said %.2f s later", what, time.monotonic() - changed)

    unknown = walked()
    assert unknown.name == ""
    live = Walk(2, "match-2-live", site)
    bea = enrol_numbers(stack, "Match Bea", 2)
    becomes("known", lambda sighting: sighting.name == "Match Bea")
    before = [
        sighting for sighting in sightings(stack, site) if sighting.track_id == unknown.track_id
    ]
    assert before[-1].name == "Match Bea", "whoever enrols keeps the last minutes"
    produce(stack, [live.shot(0)])
    eventually(lambda: last_of(sightings(stack, site), live))

    with connect(stack) as db, db.cursor() as cursor:
        person = employees.lock(cursor, "Match Bea")
        employees.update(cursor, person, EmployeeProfile(status="suspended"))
        employees.publish(cursor, person)
    deliver(stack)
    becomes("suspended", lambda sighting: not sighting.is_authorized)

    with connect(stack) as db, db.cursor() as cursor:
        employees.remove(cursor, employees.lock(cursor, "Match Bea"))
    deliver(stack)
    becomes("forgotten", lambda sighting: not sighting.name)
    assert walked().global_id not in (0, ids.global_id(bea))
    produce(stack, [live.shot(1)])

    def said_of_live() -> list[tuple[int, str]]:
        return [
            (sighting.status, sighting.name)
            for sighting in sightings(stack, site)
            if sighting.track_id == live.track_id
        ]

    # A track that is still there loses the name with its next shot.
    eventually(lambda: len(said_of_live()) > 1)
    assert said_of_live() == [(pb.Sighting.CONFIRMED, "Match Bea"), (pb.Sighting.CHANGED, "")]


def test_two_tracks_of_a_moment_are_two_people(stack: Settings, matcher: Worker) -> None:
    site = "match-moment"
    alike, met = Walk(33, "match-8", site), Walk(34, "match-8", site)
    produce(stack, [alike.shot(number, likeness=0.7) for number in range(3)])
    # The same face, better seen, in another track of the same moment.
    produce(stack, [met.shot(number, vector=shot_of(33, number)) for number in range(3)])
    produce(stack, [alike.end(), met.end()])
    assert said(stack, alike).global_id == ids.global_id(alike.track_id), "who made them known"
    second = said(stack, met)
    assert second.global_id == 0
    assert "another track" in second.reason


def test_facts_reach_a_running_matcher(stack: Settings, matcher: Worker) -> None:
    site = "match-facts"
    first, second = Walk(30, "match-7", site), Walk(31, "match-7", site, at_s=60)
    produce(stack, [*first.whole(), *second.whole()])
    met, person = said(stack, first).global_id, said(stack, second).global_id
    assert met != person
    publish(stack, f"person|{met}", pb.Fact(
        person=pb.PersonCorrection(global_id=met, merged_into=person)
    ))  # fmt: skip
    publish(stack, "person|nonsense", None)

    numbers = count(2)

    def merged() -> bool:
        walk = Walk(30, "match-7", site, at_s=60.0 * next(numbers))
        produce(stack, walk.whole())
        return said(stack, walk).global_id == person

    assert eventually(merged)


def publish(stack: Settings, key: str, fact: pb.Fact | None) -> None:
    """Write a fact as the outbox does."""
    value = None if fact is None else fact.SerializeToString()
    with connect(stack) as db, db.cursor() as cursor:
        enqueue(cursor, FACTS.name, key, value)
    deliver(stack)


def test_garbage_is_a_dead_letter_and_the_next_record_goes_on(
    stack: Settings, matcher: Worker
) -> None:
    site = "match-garbage"
    good = Walk(3, "match-3", site)
    short = Walk(4, "match-3", site).shot(0)
    short.observation.embedding = short.observation.embedding[:400]
    unmeasured = Walk(5, "match-3", site).shot(0)
    unmeasured.observation.embedding = b"\x00\x00\xc0\x7f" * 128  # NaN
    vast = Walk(5, "match-3", site).shot(1)
    vast.observation.pack = "x" * 700_000
    # What a later version of the contract may have added, and all in one state.
    more = b"\xfa\x3f" + _varint(950_000) + bytes(950_000)
    heavy = [Walk(6, "match-3", site).shot(number) for number in range(9)]
    for shot in heavy:
        shot.observation.MergeFromString(more)
    produce(stack, [good.shot(0), *heavy])
    producer = Producer(producer_config(stack, "match-garbage"))
    garbage = [
        b"\xff\xfe garbage",
        None,
        *(event.SerializeToString() for event in (short, unmeasured, vast)),
    ]
    for value in garbage:
        producer.produce(FACES.name, value, key=site)
    producer.flush(60)
    produce(stack, [good.shot(1), good.shot(2), good.end()])
    assert said(stack, good).global_id

    def letters() -> list[pb.DeadLetter]:
        letters_found = dead_letters(stack)
        return [
            letter
            for letter in letters_found
            if letter.service == "match" and letter.key == site.encode()
        ]

    letters_found = eventually(lambda: (got := letters()) and len(got) >= 6 and got)
    assert letters_found
    assert {letter.reason for letter in letters_found} == {
        "not_protobuf", "empty", "bad_dimension", "bad_vector", "bad_id", "refused",
    }  # fmt: skip
    refused = heavy[-1].SerializeToString()
    assert {letter.value for letter in letters_found} == {
        *(value or b"" for value in garbage),
        refused,
    }
    assert all(letter.source.topic == FACES.name for letter in letters_found)


def _varint(number: int) -> bytes:
    """A number as Protobuf writes it."""
    if number < 0x80:
        return bytes([number])
    return bytes([number & 0x7F | 0x80]) + _varint(number >> 7)


def test_what_a_transaction_took_back_is_not_seen(stack: Settings, matcher: Worker) -> None:
    site = "match-aborted"
    ghost, real = Walk(6, "match-4", site), Walk(7, "match-4", site)
    produce(stack, ghost.whole(), commit=False)
    produce(stack, real.whole())
    said(stack, real)
    assert {sighting.track_id for sighting in sightings(stack, site)} == {real.track_id}


def test_a_camera_whose_clock_is_ahead_is_no_reason_to_stop(
    stack: Settings, matcher: Worker
) -> None:
    ahead = Walk(8, "match-5", "match-ahead", at_s=7200)
    produce(stack, ahead.whole())
    assert said(stack, ahead).global_id


def test_a_matcher_shows_how_far_it_is_behind_and_what_it_knows(
    stack: Settings, matcher: Worker
) -> None:
    def shown(name: str, **labels: str) -> float:
        return total(processes(stack.home, "match"), f"sightline_{name}", **labels)

    def behind() -> float:
        return shown("consumer_lag_records", group="sightline-match", topic=FACES.name)

    taken = shown("records_total", topic=FACES.name)
    decided = shown("stage_seconds_count", stage="decide")
    searched = shown("index_search_seconds_count")
    enrol_numbers(stack, "Match Gauge", 9)
    walk = Walk(9, "match-gauge", "match-gauge")
    many = [walk.shot(number) for number in range(600)]
    produce(stack, [*many, walk.end()])
    eventually(lambda: behind() > 100, what="nobody says that faces wait", is_urgent=True)
    assert said(stack, walk, 240).name == "Match Gauge"
    eventually(lambda: behind() == 0, what="markers of transactions are taken for faces")
    assert shown("consumer_lag_seconds", group="sightline-match", topic=FACES.name) == 0
    assert shown("records_total", topic=FACES.name) == taken + len(many) + 1
    assert shown("stage_seconds_count", stage="decide") == decided + len(many) + 1
    assert shown("index_search_seconds_count") > searched
    assert shown("gallery_people") >= 1
    assert shown("gallery_templates") >= 1
    assert shown("index_bytes") > 0
    assert shown("decisions_total", status="confirmed", outcome="known") >= 1
