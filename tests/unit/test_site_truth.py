"""The site's films and their truth, and how what was found is judged by it."""

from itertools import pairwise
from pathlib import Path

from benchmarks import walks
from benchmarks.site import judge
from ops.demo.film import HEIGHT, WIDTH
from ops.demo.truth import DecidedIdentity, TrackBoxes

SITE = walks.plan(Path("orl"), people=6, enrolled=2, cameras=2, seed=5)


def tracks(ids: dict[str, DecidedIdentity]) -> list[TrackBoxes]:
    """A perfect track for everybody at each camera, said to be whom `ids` has."""
    boxes: dict[tuple[str, str], dict[int, tuple[float, float, float, float]]] = {}
    for scene in SITE.scenes:
        for one in walks.appearances(scene):
            boxes.setdefault((one.camera, one.name), {})[one.frame] = one.face
    return [
        TrackBoxes(f"{camera} {who}", camera, faces, frozenset({ids[who]} if who in ids else ()))
        for (camera, who), faces in boxes.items()
    ]


def right() -> dict[str, DecidedIdentity]:
    return {
        who: DecidedIdentity(who if who in SITE.enrolled else "", number)
        for number, who in enumerate(SITE.people, start=1)
    }


def test_no_portrait_is_used_twice_and_everybody_passes_every_camera() -> None:
    used = [path for photos in SITE.enrolled.values() for path in photos]
    for scene in SITE.scenes:
        assert sorted(walk.who for walk in scene.walks) == list(SITE.people)
        used += [path for walk in scene.walks for path in walk.portraits]
    assert len(used) == len(set(used)) == 60
    assert {len(photos) for photos in SITE.enrolled.values()} == {3}
    first, second = ([walk.who for walk in scene.walks] for scene in SITE.scenes)
    assert first != second


def test_nobody_hides_anybody() -> None:
    for scene in SITE.scenes:
        faces: dict[int, list[tuple[float, float]]] = {}
        for one in walks.appearances(scene):
            x1, y1, x2, y2 = one.face
            assert 0 <= x1 < x2 <= WIDTH and 0 <= y1 < y2 <= HEIGHT
            faces.setdefault(one.frame, []).append((x1, x2))
        assert max(map(len, faces.values())) > 1
        for row in faces.values():
            row.sort()
            assert all(left[1] < right[0] for left, right in pairwise(row))


def test_what_is_all_right_scores_one() -> None:
    verdict = judge(SITE, tracks(right()))
    assert verdict.score.f1 == verdict.of_tracks.f1 == 1.0
    assert verdict.tracks == 12
    assert verdict.wrong_names == verdict.shared_ids == verdict.split == ()
    assert (verdict.strays, verdict.undecided) == (0, 0)


def test_a_wrong_name_and_an_id_for_two_are_told() -> None:
    known = sorted(SITE.enrolled)
    stranger = next(who for who in SITE.people if who not in SITE.enrolled)
    said = right()
    said[stranger] = said[known[0]]
    verdict = judge(SITE, tracks(said))
    assert set(verdict.wrong_names) == {f"{stranger} named {known[0]}"}
    assert verdict.shared_ids == (", ".join(sorted([stranger, known[0]])),)
    assert verdict.score.f1 < 0.9


def test_nothing_said_and_several_ids_cost() -> None:
    said = right()
    silent, split = SITE.people[:2]
    del said[silent]
    found = tracks(said)
    again = [
        TrackBoxes(one.track_id, one.camera, one.boxes, frozenset({DecidedIdentity("", 99)}))
        if one.track_id == f"cam-1 {split}"
        else one
        for one in found
    ]
    verdict = judge(SITE, again)
    assert verdict.undecided == 2
    assert verdict.split == (split,)
    assert verdict.score.f1 < 0.9
    missing = judge(SITE, [one for one in found if one.camera == "cam-1"])
    assert missing.score.recall < 0.6 < missing.of_tracks.recall
