"""The demo's films show what their truth says."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from ops.demo.demo_persons import DEMO_PERSONS, PackagePicture, cut_out, enrolment_photo
from ops.demo.film import (
    FPS,
    HEIGHT,
    WIDTH,
    Scene,
    Walk,
    appearances,
    frame_count,
    render,
    write_film,
)
from ops.demo.scenario import scenes
from sightline.runtime.errors import SightlineError

CUTS = {member.name: cut_out(member) for member in DEMO_PERSONS}
EMPTY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def short(walk: Walk) -> Scene:
    return Scene("room", EMPTY, 3.0, (walk,))


def test_everybody_walks_by_both_cameras() -> None:
    for scene in scenes():
        assert sorted(walk.name for walk in scene.walks) == sorted(CUTS)
        assert all(walk.starts + walk.seconds <= scene.seconds for walk in scene.walks)


def test_faces_are_large_enough_for_every_pack() -> None:
    for scene in scenes():
        for one in appearances(scene, CUTS):
            assert one.face[2] - one.face[0] >= 95


@pytest.mark.parametrize("to_right", [True, False])
def test_boxes_follow_the_walk(to_right: bool) -> None:
    scene = short(Walk("Ana Lima", 0.0, 3.0, to_right, (110, 120)))
    places = [one.face for one in appearances(scene, CUTS)]
    assert len(places) > 10
    assert all((after[0] > before[0]) == to_right for before, after in pairwise(places))
    assert places[-1][2] - places[-1][0] > places[0][2] - places[0][0]


@pytest.mark.slow
def test_the_picture_changes_where_the_truth_has_a_face_and_nowhere_without() -> None:
    scene = short(Walk("unknown in uniform", 1.0, 2.0, True, (110, 110)))
    frames = list(render(scene, CUTS))
    assert len(frames) == frame_count(scene) == 3 * FPS
    shown = {one.frame: one.face for one in appearances(scene, CUTS)}
    for number, frame in enumerate(frames):
        changed = np.abs(frame.astype(int) - EMPTY).mean(axis=2) > 25
        if number in shown:
            x1, y1, x2, y2 = (round(side) for side in shown[number])
            assert changed[max(0, y1) : y2, max(0, x1) : x2].mean() > 0.6
        elif number < FPS:  # before the walk
            assert not changed.any()


@pytest.mark.slow
def test_a_film_is_the_same_every_time() -> None:
    scene = short(Walk("Ben Archer", 0.0, 3.0, False, (110, 110), blur=0.7, gain=0.8))
    for once, again in zip(render(scene, CUTS), render(scene, CUTS), strict=True):
        assert np.array_equal(once, again)


@pytest.mark.slow
def test_a_film_can_be_read_back(tmp_path: Path) -> None:
    scene = short(Walk("Carl Weber", 0.0, 3.0, True, (110, 110)))
    path = tmp_path / "film.mp4"
    assert write_film(path, render(scene, CUTS)) == 3 * FPS
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == FPS
    frames = 0
    while film.read()[0]:
        frames += 1
    assert frames == 3 * FPS


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SightlineError, match="cannot be written"):
        write_film(tmp_path / "none" / "film.mp4", iter(()))


def test_portraits_show_the_face_in_the_middle() -> None:
    for member in DEMO_PERSONS:
        height, width = enrolment_photo(member).shape[:2]
        assert 300 < width < 700
        assert 300 < height < 800


def test_another_picture_than_the_outlines_were_made_for_is_refused() -> None:
    with pytest.raises(SightlineError, match="locked packages"):
        PackagePicture("insightface", "data/images/t1.jpg", (10, 10)).load()
    with pytest.raises(SightlineError, match="locked packages"):
        PackagePicture("insightface", "data/images/none.jpg", (10, 10)).load()
