"""A track is one person's: by gap, jump, overlap and time its face is compared with its own."""

from collections.abc import Sequence

import numpy as np
import pytest
from prometheus_client import REGISTRY

from processors.vision.verification import FaceVerdict, TrackVerifier
from sightline.models.outputs import Track, TrackProperties
from sightline.models.quality import FaceQuality
from sightline.runtime.settings.groups import EvidenceSettings
from tests.unit.verification_support import AWAY, HALF_TURNED, Body, Film, embedding_of, seconds

ADA, BOB, CLEO = 1, 2, 3
HERE = 100.0


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"sightline_{name}_total", labels) or 0.0


def relay(gap: float, *, at: float = 4.0, second: int = BOB) -> Film:
    """Ada stands on the mark; after a gap somebody else does."""

    def scene(now: float) -> list[Body]:
        if now < at:
            return [Body(HERE, ADA)]
        return [] if now < at + gap else [Body(HERE, second)]

    return Film(scene).play(at + gap + 6)


@pytest.mark.parametrize("gap", [0.3, 0.5, 1.0, 1.8])
def test_somebody_else_after_a_gap_is_a_track_of_their_own_at_once(gap: float) -> None:
    film = relay(gap)
    first, second = film.ends
    assert film.persons() == {first.track_id: {ADA}, second.track_id: {BOB}}
    assert seconds(first.ended_at_us) == pytest.approx(3.9)
    assert seconds(second.started_at_us) == pytest.approx(4.0 + gap)
    assert first.frames == 39, "from the second frame of the film, which confirms the track"
    assert second.frames >= 59
    shown = [track.track_id for frame in film.tracks() for track in frame.tracks]
    late = shown.index(second.track_id) - 39
    assert late <= 3, "so many frames went to the first one before the second was known"
    assert second.track_number > first.track_number


def test_the_same_person_after_a_gap_is_the_same_track() -> None:
    film = relay(1.5, second=ADA)
    (end,) = film.ends
    assert film.persons() == {end.track_id: {ADA}}


def test_somebody_else_without_a_gap_is_found_within_the_time_between_verifications() -> None:
    film = relay(0)
    first, second = film.ends
    assert film.persons() == {first.track_id: {ADA}, second.track_id: {BOB}}
    # Settled by its fifth face at 1.3 s: verified 3 s later.
    assert seconds(first.ended_at_us) == pytest.approx(1.3)
    assert seconds(second.started_at_us) == pytest.approx(4.3)
    assert second.observations == 5


def test_a_box_that_jumps_is_verified_at_once() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, ADA) if now < 2 else Body(HERE + 30, BOB)]

    film = Film(scene).play(4)
    first, second = film.ends
    assert film.persons() == {first.track_id: {ADA}, second.track_id: {BOB}}
    assert seconds(first.ended_at_us) == pytest.approx(1.9)
    assert seconds(second.started_at_us) == pytest.approx(2.0)


def test_one_odd_face_splits_nothing() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, BOB if 4.25 < now < 4.35 else ADA)]

    film = Film(scene).play(12)
    assert BOB in film.actors.embedded, "the odd face was never looked at"
    assert list(film.persons().values()) == [{ADA}]


def test_faces_that_disagree_with_each_other_too_split_nothing() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, ADA if now < 2 else 2 + round(now * 10) % 7)]

    film = Film(scene, interval_seconds=0.3).play(8)
    assert len(set(film.actors.embedded)) > 3
    assert list(film.persons().values()) == [{ADA}]


def test_doubtful_faces_split_nothing_and_are_looked_at_again() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, ADA if now < 4 or now > 10 else 12)]

    film = Film(scene).play(14)
    assert film.actors.embedded.count(12) > 3
    assert list(film.persons().values()) == [{ADA}]


def test_a_half_turned_face_can_agree_and_cannot_disagree() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, ADA if now < 4 else HALF_TURNED + BOB)]

    film = Film(scene).play(12)
    assert BOB in film.actors.embedded
    assert list(film.persons().values()) == [{ADA}]


def test_without_a_face_the_track_stays_and_costs_a_search_a_second() -> None:
    def scene(now: float) -> list[Body]:
        if 4 <= now < 4.5:
            return []
        return [Body(HERE, ADA if now < 4 else AWAY)]

    settled = Film(scene).play(4.5)
    film = Film(scene).play(34.5)
    (end,) = film.ends
    assert seconds(end.ended_at_us) == pytest.approx(34.4)
    assert film.actors.embedded == settled.actors.embedded
    assert film.actors.searched - settled.actors.searched < 40


def test_somebody_who_turns_round_late_was_there_since_the_gap() -> None:
    def scene(now: float) -> list[Body]:
        if now < 4:
            return [Body(HERE, ADA)]
        return [] if now < 5 else [Body(HERE, AWAY if now < 15 else BOB)]

    first, second = Film(scene).play(20).ends
    assert seconds(first.ended_at_us) == pytest.approx(3.9)
    assert seconds(second.started_at_us) == pytest.approx(5.0)


def test_a_settled_track_is_verified_every_few_seconds() -> None:
    film = Film(lambda _: [Body(HERE, ADA)]).play(61)
    # Five that settle it, and one in 3 s from 1.3 s on.
    assert len(film.actors.embedded) == 5 + 19
    assert len(film.observations) == 5
    often = Film(lambda _: [Body(HERE, ADA)], verify_seconds=1.0).play(61)
    assert len(often.actors.embedded) == 5 + 59


def test_a_track_that_is_not_settled_is_split_as_well() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, ADA if now < 0.6 else BOB)]

    film = Film(scene).play(4)
    first, second = film.ends
    assert film.persons() == {first.track_id: {ADA}, second.track_id: {BOB}}
    assert first.observations == 2


def test_of_a_first_face_and_two_others_that_agree_the_first_is_the_odd_one() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, ADA if now < 0.3 else BOB)]

    film = Film(scene).play(4)
    assert list(film.persons().values()) == [{ADA, BOB}]


def crossing(now: float, *, exchanged: bool, bob: int = BOB) -> list[Body]:
    """Two people meet in the middle; the boxes go on, and the faces may have changed hands."""
    left = HERE if now < 3 else min(HERE + (now - 3) * 100, HERE + 200)
    right = HERE + 200 if now < 3 else max(HERE + 200 - (now - 3) * 100, HERE)
    if now < 3.95 or not exchanged:
        return [Body(left, ADA), Body(right, bob)]
    return [Body(left, bob), Body(right, ADA)]


@pytest.mark.parametrize("exchanged", [False, True])
def test_a_crossing_changes_no_names(exchanged: bool) -> None:
    before = counted("track_exchanges")
    film = Film(lambda now: crossing(now, exchanged=exchanged)).play(9)
    ada, bob = film.persons()
    assert len(film.ends) == 2
    assert sorted(film.persons().values(), key=min) == [{ADA}, {BOB}]
    names = {track: min(persons) for track, persons in film.persons().items()}
    last = {names[track.track_id]: track.box.x1 for track in film.tracks()[-1].tracks}
    first = {names[track.track_id]: track.box.x1 for track in film.tracks()[2].tracks}
    assert first == {ADA: HERE, BOB: HERE + 200}
    # Exchanged means that each body turned back, which boxes alone do not tell.
    assert last == ({ADA: HERE, BOB: HERE + 200} if exchanged else {ADA: HERE + 200, BOB: HERE})
    assert counted("track_exchanges") - before == exchanged
    assert {ada, bob} == {track.track_id for frame in film.tracks() for track in frame.tracks}


def test_five_crossings_change_no_names() -> None:
    def scene(now: float) -> list[Body]:
        """Each crossing takes 6 s, and every second one exchanges the boxes."""
        number, since = divmod(now, 6.0)
        exchanged = sum(1 for past in range(int(number)) if past % 2 == 0) % 2 == 1
        bodies = crossing(since, exchanged=number % 2 == 0)
        persons = {ADA: BOB, BOB: ADA} if exchanged else {ADA: ADA, BOB: BOB}
        ways = int(number) - sum(1 for past in range(int(number)) if past % 2 == 0)
        boxes = [body.left for body in bodies]
        if ways % 2:
            boxes.reverse()
        return [Body(left, persons[body.person]) for left, body in zip(boxes, bodies, strict=True)]

    film = Film(scene).play(30)
    assert len(film.ends) == 2
    assert sorted(film.persons().values(), key=min) == [{ADA}, {BOB}]


def test_one_of_two_whose_faces_change_hands_is_a_stranger() -> None:
    def scene(now: float) -> list[Body]:
        bodies = crossing(now, exchanged=True)
        if now < 3.95:
            return bodies
        return [bodies[0], Body(bodies[1].left, CLEO)]

    film = Film(scene).play(9)
    assert len(film.ends) == 3
    assert sorted(film.persons().values(), key=min) == [{ADA}, {BOB}, {CLEO}]


def test_a_face_in_two_head_regions_proves_nothing() -> None:
    """Bob stands before Ada for long: the only face in both heads is his."""

    def scene(now: float) -> list[Body]:
        if now < 3:
            return [Body(HERE, ADA), Body(HERE + 120, BOB)]
        return [Body(HERE, AWAY), Body(max(HERE + 3, HERE + 120 - 100 * (now - 3)), BOB)]

    film = Film(scene).play(10)
    assert len(film.ends) == 2
    assert sorted(film.persons().values(), key=min) == [{ADA}, {BOB}]


def test_faces_that_are_followed_are_verified_too() -> None:
    def scene(now: float) -> list[Body]:
        if now < 4:
            return [Body(HERE, ADA)]
        return [] if now < 5 else [Body(HERE, BOB)]

    film = Film(scene, follows_faces=True).play(9)
    first, second = film.ends
    assert film.persons() == {first.track_id: {ADA}, second.track_id: {BOB}}


@pytest.mark.parametrize("follows_faces", [False, True])
def test_a_worker_that_takes_over_at_any_frame_verifies_to_the_bit(follows_faces: bool) -> None:
    def scene(now: float) -> list[Body]:
        if now < 6:
            return crossing(now, exchanged=True)
        if now < 6.6:
            return []
        return [Body(HERE, CLEO if now > 8 else AWAY), Body(HERE + 200, 12)]

    before = counted("track_splits"), counted("track_exchanges")
    whole = Film(scene, follows_faces=follows_faces).play(10)
    again = Film(scene, follows_faces=follows_faces).play(10, dies_after_each_frame=True)
    assert again.outs == whole.outs
    after = counted("track_splits"), counted("track_exchanges")
    assert after[0] > before[0] and after[1] > before[1], "nothing was split or exchanged"


QUALITY = FaceQuality(80, 0.9, 0.9, 0.9, 0.9)


def judged(pack: str, cosines: Sequence[float]) -> list[FaceVerdict]:
    """Judge faces by their cosine to five equal ones of a track; all of one stranger."""
    verifier = TrackVerifier(pack, EvidenceSettings())
    track = Track(TrackProperties("t", 1, "c", "s", "e", 0), 0)
    own, other = embedding_of(1), embedding_of(2)
    verdicts = []
    for number, cosine in enumerate([1.0] * 5 + list(cosines)):
        vector = np.asarray(cosine * own + np.sqrt(1 - cosine**2) * other, np.float32)
        verified = verifier.judge(
            track, vector, QUALITY, number * 300_000, frames=number, is_settled=True
        )
        verdicts.append(verified.verdict)
    return verdicts[5:]


@pytest.mark.parametrize(
    ("pack", "own", "doubtful", "stranger"),
    [("mobilefacenet_128-e72a5710", 0.5, 0.4, 0.25), ("dlib", 0.95, 0.925, 0.90)],
)
def test_each_pack_has_its_own_limits(
    pack: str, own: float, doubtful: float, stranger: float
) -> None:
    assert judged(pack, [own]) == [FaceVerdict.AGREES]
    assert judged(pack, [doubtful, doubtful]) == [FaceVerdict.DOUBTFUL] * 2
    assert judged(pack, [stranger, stranger]) == [FaceVerdict.DISAGREES, FaceVerdict.CONFIRMED]
    assert judged(pack, [stranger, doubtful]) == [FaceVerdict.DISAGREES, FaceVerdict.CONFIRMED]
    assert judged(pack, [stranger, own]) == [FaceVerdict.DISAGREES, FaceVerdict.AGREES]


def test_a_pack_that_was_never_measured_is_judged_with_care() -> None:
    assert judged("nobody-knows", [0.95, 0.6]) == [FaceVerdict.AGREES] * 2
