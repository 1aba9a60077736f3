"""Real films of people who pass: everybody has one row, whatever their faces gave.

The passages are seen by eye. A row of the access log follows from each sighting of the end of a
track; gate, vision and matching run in memory.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from benchmarks import in_memory
from producers.source_interface import CapturedPicture
from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US_PER_SECOND
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models

START = 1_700_000_000 * US_PER_SECOND

WALKERS = "one-by-one-person-detection.mp4"
PASSAGES = ((6, 20), (23, 45), (50, 70), (74, 87), (92, 120), (123, 137))
"""Seconds of the walkers' film in which somebody is there, one after the other: a woman in a grey
cardigan, a man in a black jacket, a woman with long blond hair, a man in a black shirt, a woman
with long dark hair, a man in a light shirt. All turn their backs to the camera."""


def pictures(path: Path, fps: float) -> Iterator[CapturedPicture]:
    """The film's pictures at a lower rate."""
    film = cv2.VideoCapture(str(path))
    rate, number, shown = film.get(cv2.CAP_PROP_FPS), 0, -1
    while film.grab():
        if int(number / rate * fps) > shown:
            shown = int(number / rate * fps)
            _, image = film.retrieve()
            yield CapturedPicture(
                np.asarray(image, np.uint8), START + round(number / rate * US_PER_SECOND)
            )
        number += 1
    film.release()


def animation(path: Path) -> Iterator[CapturedPicture]:
    at_us = START
    with Image.open(path) as animation:
        for picture in ImageSequence.Iterator(animation):
            rgb = np.asarray(picture.convert("RGB"), np.uint8)
            yield CapturedPicture(np.ascontiguousarray(rgb[:, :, ::-1]), at_us)
            at_us += round(picture.info.get("duration", 100) * 1000)


def watched(shared: Path, film: Iterator[CapturedPicture]) -> in_memory.Seen:
    return in_memory.see(load_pack_of(shared / "models"), in_memory.published(film))


def seconds(at_us: int) -> float:
    return (at_us - START) / US_PER_SECOND


def test_everybody_who_walks_by_with_their_back_to_the_camera_has_a_row(shared: Path) -> None:
    seen = watched(shared, pictures(shared / "media" / WALKERS, fps=3))
    rows, snapshots = seen.rows, seen.snapshots
    spans = [(seconds(row.first_seen_us), seconds(row.decided_at_us)) for row in rows]
    by_passage = [
        [span for span in spans if span[0] < end and span[1] > begin] for begin, end in PASSAGES
    ]
    assert all(by_passage), f"somebody is missing: {spans}"
    assert len(rows) <= len(PASSAGES) + 1, f"more than one row too many: {spans}"
    assert {row.status for row in rows} == {pb.Sighting.UNIDENTIFIED}
    assert all("no face visible" in row.reason for row in rows)
    for row in rows:
        jpeg = np.frombuffer(snapshots[row.track_id].jpeg, np.uint8)
        body = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        assert body is not None and body.shape[0] > 150


def test_two_people_with_faces_of_few_pixels_have_a_row_each(shared: Path) -> None:
    film = animation(shared / "media" / "face-demographics-walking.gif")
    seen = watched(shared, film)
    rows, snapshots = seen.rows, seen.snapshots
    assert [row.status for row in rows] == [pb.Sighting.UNIDENTIFIED] * 2
    assert all(row.track_id in snapshots for row in rows)
