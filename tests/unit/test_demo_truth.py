"""The demo's judgement: which track is whose, and what counts as right."""

from collections.abc import Iterable

import pytest

from ops.demo.report import print_verdict
from ops.demo.truth import (
    Appearance,
    Box,
    DecidedIdentity,
    FilmPerson,
    GroundTruth,
    TrackBoxes,
    Verdict,
    compare,
)

ANA, BEN = FilmPerson("Ana", enrolled=True), FilmPerson("Ben", enrolled=True)
STRANGER, OTHER = FilmPerson("stranger", enrolled=False), FilmPerson("other", enrolled=False)
PLACES: dict[FilmPerson, float] = {ANA: 0, BEN: 200, STRANGER: 400, OTHER: 600}


def face(person: FilmPerson) -> Box:
    x = PLACES[person]
    return (x, 50, x + 100, 150)


def truth(*people: FilmPerson, cameras: Iterable[str] = ("door", "room")) -> GroundTruth:
    return GroundTruth(
        people,
        tuple(
            Appearance(camera, frame, person.name, face(person))
            for camera in cameras
            for frame in range(10)
            for person in people
        ),
    )


def track(person: FilmPerson, camera: str, *said: DecidedIdentity, number: int = 0) -> TrackBoxes:
    x1, y1, x2, y2 = face(person)
    body = (x1 - 40, y1 - 30, x2 + 40, y2 + 200)
    name = f"{person.name}-{camera}-{number}"
    return TrackBoxes(name, camera, dict.fromkeys(range(2, 8), body), frozenset(said))


def judge(*tracks: TrackBoxes, people: tuple[FilmPerson, ...]) -> Verdict:
    return compare(truth(*people), tracks)


def test_everybody_right() -> None:
    verdict = judge(
        track(ANA, "door", DecidedIdentity("Ana", 1)),
        track(ANA, "room", DecidedIdentity("Ana", 1)),
        track(STRANGER, "door", DecidedIdentity("", 7)),
        track(STRANGER, "room", DecidedIdentity("", 7)),
        people=(ANA, STRANGER),
    )
    assert verdict.passed
    assert (verdict.named_right, verdict.unknown_found, verdict.same_id_across_cameras) == (1, 1, 1)
    assert verdict.owners["Ana-door-0"] == "Ana"


def test_a_track_cut_in_two_is_right_when_both_parts_are() -> None:
    verdict = judge(
        track(ANA, "door", DecidedIdentity("Ana", 1)),
        track(ANA, "door", DecidedIdentity("Ana", 1), number=1),
        track(ANA, "door", number=2),  # too short to be told
        track(ANA, "room", DecidedIdentity("Ana", 1)),
        people=(ANA,),
    )
    assert verdict.passed


def test_missed_at_one_camera_is_not_right() -> None:
    verdict = judge(track(ANA, "door", DecidedIdentity("Ana", 1)), people=(ANA,))
    assert (verdict.named_right, verdict.named_wrong) == (0, 0)
    assert not verdict.passed


def test_the_verdict_is_printed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(judge(track(ANA, "door", DecidedIdentity("Ana", 1)), people=(ANA,)))
    out = capsys.readouterr().out
    assert "right" in out and "wrong" in out
    assert "[" not in out, "colours are no words"


def test_a_wrong_name_counts_even_beside_the_right_one() -> None:
    verdict = judge(
        track(ANA, "door", DecidedIdentity("Ana", 1), DecidedIdentity("Ben", 2)),
        track(ANA, "room", DecidedIdentity("Ana", 1)),
        people=(ANA,),
    )
    assert (verdict.named_right, verdict.named_wrong) == (0, 1)


def test_a_stranger_with_a_name_is_wrong() -> None:
    verdict = judge(
        track(STRANGER, "door", DecidedIdentity("Ana", 1)),
        track(STRANGER, "room", DecidedIdentity("", 7)),
        people=(STRANGER,),
    )
    assert (verdict.named_wrong, verdict.unknown_found) == (1, 0)


def test_a_stranger_with_two_ids_is_found_but_not_the_same() -> None:
    verdict = judge(
        track(STRANGER, "door", DecidedIdentity("", 7)),
        track(STRANGER, "room", DecidedIdentity("", 8)),
        people=(STRANGER,),
    )
    assert (verdict.unknown_found, verdict.same_id_across_cameras) == (1, 0)
    assert not verdict.passed


def test_strangers_who_share_an_id_are_not_found() -> None:
    cameras = ("door", "room")
    verdict = judge(
        *(
            track(who, camera, DecidedIdentity("", 7))
            for who in (STRANGER, OTHER)
            for camera in cameras
        ),
        people=(STRANGER, OTHER),
    )
    assert verdict.unknown_found == 0
    assert not verdict.passed


def test_an_identity_where_nobody_is_fails() -> None:
    right = [track(ANA, camera, DecidedIdentity("Ana", 1)) for camera in ("door", "room")]
    ghost = TrackBoxes("ghost", "door", {3: (900, 0, 950, 50)}, frozenset({DecidedIdentity("", 9)}))
    verdict = judge(*right, ghost, people=(ANA,))
    assert verdict.strays == 1
    assert not verdict.passed


def test_a_box_around_two_people_does_not_say_whose_it_is() -> None:
    both = TrackBoxes("both", "door", {3: (0, 0, 400, 300)}, frozenset({DecidedIdentity("Ana", 1)}))
    verdict = judge(both, people=(ANA, BEN))
    assert "both" not in verdict.owners


def test_the_same_place_at_another_camera_or_time_is_somebody_else() -> None:
    elsewhere = TrackBoxes("x", "yard", {3: face(ANA)}, frozenset())
    later = TrackBoxes("y", "door", {99: face(ANA)}, frozenset())
    assert judge(elsewhere, later, people=(ANA,)).owners == {}
