"""People and faces in a camera's masks are not looked at; a frame that is still moves no track."""

import numpy as np
import pytest

from processors.vision.camera_state import Detections
from processors.vision.masks import unmasked, unmasked_faces
from processors.vision.tracking import CameraTracker
from schemas import sightline_pb2 as pb
from sightline.models.interface import Face
from sightline.runtime.clock import US_PER_SECOND
from sightline.streaming.records import Record
from tests.unit.test_vision_pipeline import HEIGHT, WIDTH, Camera, Worker, make_face

SIZE = (200, 100)
LEFT_HALF = [0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0]
PEOPLE, FACES = pb.Mask.PEOPLE, pb.Mask.FACES


def frame_with(*masks: tuple[list[pb.Mask.Kind], list[float]]) -> pb.Frame:
    return pb.Frame(masks=[pb.Mask(kinds=kinds, points=points) for kinds, points in masks])


def people(*middles: float) -> Detections:
    boxes = np.array([[x - 30, 20, x + 30, 80] for x in middles], np.float32).reshape(-1, 4)
    return Detections(boxes, np.linspace(0.9, 0.5, len(middles), dtype=np.float32))


def faces(*middles: float) -> Detections:
    found = [make_face(x - 10, 40, 20) for x in middles]
    boxes = np.array([face.box for face in found], np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(found), 0.9, np.float32), found)


def middles(detections: Detections) -> list[float]:
    return [float(box[0] + box[2]) / 2 for box in detections.boxes]


def test_the_middle_of_a_person_decides() -> None:
    frame = frame_with(([PEOPLE], LEFT_HALF))
    left = unmasked(people(20, 99, 101, 180), frame, SIZE)
    assert middles(left) == [101, 180]
    assert left.scores.tolist() == pytest.approx([0.9 - 0.4 * 2 / 3, 0.5])


def test_a_mask_of_faces_hides_no_person() -> None:
    frame = frame_with(([FACES], LEFT_HALF))
    assert middles(unmasked(people(20, 180), frame, SIZE)) == [20, 180]


@pytest.mark.parametrize("kind", [PEOPLE, FACES])
def test_where_faces_are_followed_both_masks_hide_them(kind: pb.Mask.Kind) -> None:
    left = unmasked(faces(20, 180), frame_with(([kind], LEFT_HALF)), SIZE)
    assert middles(left) == [180]
    assert left.faces is not None
    assert [float(face.box[0]) for face in left.faces] == [170]


def test_faces_in_a_mask_are_not_chosen() -> None:
    frame = frame_with(([PEOPLE], [0.0, 0, 1, 0, 1, 1, 0, 1]), ([FACES], LEFT_HALF))
    found: list[Face] = [make_face(10, 40, 20), make_face(150, 40, 20)]
    assert unmasked_faces(found, frame, SIZE) == found[1:]


@pytest.mark.parametrize(
    "points", [[], [0.0, 0.0, 1.0, 1.0], [*LEFT_HALF, 0.5], [float("nan"), *LEFT_HALF[1:]]]
)
def test_points_that_are_no_polygon_hide_nobody(points: list[float]) -> None:
    frame = frame_with(([PEOPLE, FACES], points))
    assert middles(unmasked(people(20, 180), frame, SIZE)) == [20, 180]


def masked(records: list[Record], masks: list[pb.Mask]) -> list[Record]:
    result = []
    for record in records:
        frame = pb.Frame.FromString(record.value or b"")
        frame.masks.extend(masks)
        result.append(
            Record(
                record.topic, record.partition, record.offset, record.key,
                frame.SerializeToString(), record.timestamp_ms,
            )
        )  # fmt: skip
    return result


@pytest.mark.parametrize("faces_only", [False, True])
def test_nobody_is_tracked_in_a_mask_of_people(faces_only: bool) -> None:
    film = Camera().film(8)
    whole = [0.0, 0, 1, 0, 1, 1, 0, 1]
    seen = Worker(faces_only=faces_only).take(film)
    hidden = Worker(faces_only=faces_only).take(
        masked(film, [pb.Mask(kinds=[PEOPLE], points=whole)])
    )
    assert any(tracks.tracks for tracks in seen.tracks)
    assert len(hidden.tracks) == len(film)
    assert not any(tracks.tracks for tracks in hidden.tracks)


def test_a_person_with_a_masked_face_is_tracked_and_not_embedded() -> None:
    """The person stands at 50 to 110 of 320 pixels, with the head in the upper left quarter."""
    corner = [0.0, 0, 0.5, 0, 0.5, 0.6, 0, 0.6]
    assert WIDTH == 320 and HEIGHT == 240
    worker = Worker().take(masked(Camera().film(8), [pb.Mask(kinds=[FACES], points=corner)]))
    assert any(tracks.tracks for tracks in worker.tracks)
    assert worker.vectors.made == 0
    assert Worker().take(Camera().film(8)).vectors.made > 0


def test_boxes_that_jump_keep_their_track_over_still_frames() -> None:
    """A detector of faces answers one of three boxes for the same face, twice a second."""
    places = [[285, 112, 371, 198], [275, 102, 362, 189], [261, 100, 365, 204]]
    order = np.random.default_rng(4).integers(0, 3, 120)

    def numbers(*, still: bool) -> set[int]:
        tracker = CameraTracker(0, 2.0)
        found: set[int] = set()
        for step, place in enumerate(order):
            if still:
                tracker.come_to_rest()
            matches = tracker.update(
                np.array([places[place]], np.float32),
                np.array([0.9], np.float32),
                step * US_PER_SECOND // 2,
            )
            found |= {match.number for match in matches}
        return found

    assert len(numbers(still=True)) == 1
    assert len(numbers(still=False)) > 1  # or the test shows nothing
