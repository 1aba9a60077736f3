"""Frames to tracks and shots, with detectors that see what the test says."""

from collections.abc import Iterable, Sequence
from functools import cache

import cv2
import numpy as np
import pytest
from prometheus_client import REGISTRY

from processors.vision.face_roi import choose_face, head_region, owner
from processors.vision.processor import VisionProcessor
from schemas import sightline_pb2 as pb
from schemas.decode import decode
from schemas.ids import motion_event_id, track_id
from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack, PersonBoxes
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord, Record

START = 1_700_000_000_000_000
STEP = 40_000
WIDTH, HEIGHT = 320, 240
LANDMARKS = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [70, 92]], np.float32) / 112


def make_face(x: float, y: float, side: float, score: float = 0.9) -> Face:
    box = np.array([x, y, x + side, y + side], np.float32)
    points = np.asarray(LANDMARKS * side + np.array([x, y]), np.float32)
    return Face(box, score, points)


class SeenPeople:
    """One person who stands at the place that the first pixel of the picture names."""

    def __init__(self) -> None:
        self.searches = 0

    def detect(self, images: Sequence[BGRImage]) -> list[PersonBoxes]:
        return [PersonBoxes(*self._person(image)) for image in images]

    def _person(self, image: BGRImage) -> tuple[Float32Array, Float32Array]:
        self.searches += 1
        left = float(image[0, 0, 0])
        if left > 250:
            return np.empty((0, 4), np.float32), np.empty(0, np.float32)
        return np.array([[left, 40, left + 60, 220]], np.float32), np.array([0.9], np.float32)


class SeenFaces:
    """One face in whatever is searched; counts the searches."""

    def __init__(self, whole: bool = False) -> None:
        self.searches = 0
        self.whole = whole
        self.turned = 0  # so many of the next faces are turned away

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        self.searches += len(images)
        return [[self.turn(face) for face in self._seen(image)] for image in images]

    def turn(self, face: Face) -> Face:
        """The face as the n-th search finds it."""
        if not self.turned:
            return face
        self.turned -= 1
        landmarks = face.landmarks.copy()
        landmarks[2, 0] = face.box[2]  # the nose beyond both eyes: a profile
        return Face(face.box, face.score, landmarks)

    def _seen(self, image: BGRImage) -> list[Face]:
        if self.whole:
            left = float(image[0, 0, 0])
            return [] if left > 250 else [make_face(left, 50, 60)]
        side = image.shape[0] / 2
        return [make_face((image.shape[1] - side) / 2, image.shape[0] * 0.2, side)]


class Vectors:
    """A vector of unit length; counts how many were made."""

    dimension = 8

    def __init__(self) -> None:
        self.made = 0

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        self.made += len(faces)
        return [np.array([1, 0, 0, 0, 0, 0, 0, 0], np.float32) for _ in faces]


@cache
def encoded(noise: bytes, left: int) -> bytes:
    """The JPEG of a picture of noise that says where the person stands."""
    image = np.frombuffer(noise, np.uint8).reshape(HEIGHT, WIDTH, 3).copy()
    image[:16, :16] = left  # survives the JPEG
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class Camera:
    """Makes the records of one camera."""

    def __init__(self, camera: str = "door") -> None:
        self.camera = camera
        self.offset = -1
        # Grains of 8 px: to decode single pixels of noise takes longer than all that is tested.
        grains = np.random.default_rng(1).integers(0, 250, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        self.noise = grains.repeat(8, axis=0).repeat(8, axis=1)

    def record(
        self,
        number: int,
        left: int = 50,
        *,
        start: int = START,
        last: bool = False,
        bad: bool = False,
    ) -> Record:
        jpeg = encoded(self.noise.tobytes(), left)
        frame = pb.Frame(
            camera_id=self.camera,
            site_id="home",
            sequence=number,
            captured_at_us=start + number * STEP,
            jpeg=jpeg[:200] if bad else jpeg,
            width=WIDTH,
            height=HEIGHT,
            motion_event_id=motion_event_id(self.camera, start),
            first_in_event=number == 0,
            last_in_event=last,
        )
        self.offset += 1
        return Record(
            "frames.default", 0, self.offset, self.camera.encode(), frame.SerializeToString(),
            frame.captured_at_us // 1000,
        )  # fmt: skip

    def film(self, frames: int, *, start: int = START, left: int = 50) -> list[Record]:
        return [
            self.record(number, left, start=start, last=number == frames - 1)
            for number in range(frames)
        ]


def vision_settings(values: dict[str, float]) -> Settings:
    """Settings with values of the groups `vision` and `evidence`."""
    groups: dict[str, dict[str, float]] = {"vision": {}, "evidence": {}}
    for name, value in values.items():
        groups["evidence" if name in EvidenceSettings.model_fields else "vision"][name] = value
    return Settings.model_validate(groups)


class Worker:
    """A processor and what it said, by kind."""

    def __init__(self, *, faces_only: bool = False, **settings: float) -> None:
        self.faces = SeenFaces(whole=faces_only)
        self.people = SeenPeople()
        self.vectors = Vectors()
        pack = ModelPack("test", None if faces_only else self.people, self.faces, self.vectors)
        every_frame = {"detections_per_second": 1000.0, "face_detections_per_second": 1000.0}
        self.processor = VisionProcessor(pack, vision_settings(every_frame | settings))
        self.outs: list[OutputRecord] = []

    def take(self, records: Iterable[Record]) -> "Worker":
        for record in records:
            self.outs += self.processor.process(record)
        return self

    @property
    def tracks(self) -> list[pb.FrameTracks]:
        return [decode(pb.FrameTracks, out.value) for out in self.outs if out.topic == "tracks"]

    @property
    def observations(self) -> list[pb.FaceObservation]:
        return [event.observation for event in self._faces() if event.HasField("observation")]

    @property
    def ended(self) -> list[pb.TrackEnded]:
        return [event.track_ended for event in self._faces() if event.HasField("track_ended")]

    @property
    def snapshots(self) -> list[pb.Snapshot]:
        return [decode(pb.Snapshot, out.value) for out in self.outs if out.topic == "snapshots"]

    def _faces(self) -> list[pb.FaceEvent]:
        return [decode(pb.FaceEvent, out.value) for out in self.outs if out.topic == "faces"]


def test_a_person_walking_through_is_one_track_with_shots_a_snapshot_and_an_end() -> None:
    worker = Worker(observations=3).take(Camera().film(60))
    assert [len(frame.tracks) for frame in worker.tracks] == [0] + [1] * 59
    (name,) = {track.track_id for frame in worker.tracks for track in frame.tracks}
    assert name == track_id("door", START + STEP, 0)
    assert [shot.track_id for shot in worker.observations] == [name] * 3
    assert {shot.motion_event_id for shot in worker.observations} == {
        motion_event_id("door", START)
    }
    gaps = np.diff([shot.captured_at_us for shot in worker.observations])
    assert (gaps >= 300_000).all()
    (end,) = worker.ended
    assert (end.track_id, end.frames, end.observations) == (name, 59, 3)
    assert end.ended_at_us == START + 59 * STEP
    (snapshot,) = worker.snapshots
    picture = cv2.imdecode(np.frombuffer(snapshot.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape[0] > 30


def test_every_record_carries_capture_time_and_its_key() -> None:
    worker = Worker().take(Camera().film(30))
    keys = {"tracks": "door", "faces": "home"}
    for out in worker.outs:
        assert START // 1000 <= out.timestamp_ms <= (START + 30 * STEP) // 1000
        assert out.key == keys.get(out.topic, out.key)
    assert {out.key for out in worker.outs if out.topic == "snapshots"} == {
        track_id("door", START + STEP, 0)
    }
    positions = [frame.frame.offset for frame in worker.tracks]
    assert positions == list(range(30))


def test_the_same_frames_give_the_same_records() -> None:
    first, second = Worker().take(Camera().film(50)), Worker().take(Camera().film(50))
    assert first.outs == second.outs


def test_a_settled_track_is_not_searched_until_its_time_is_over() -> None:
    worker = Worker(observations=2, reverify_seconds=2)
    worker.take(Camera().film(100))
    assert {shot.epoch for shot in worker.observations} == {0, 1}
    assert worker.faces.searches == worker.vectors.made == 4


def counted(*names: str) -> dict[str, float]:
    samples = {name: REGISTRY.get_sample_value(f"sightline_{name}_total") for name in names}
    return {name: value or 0.0 for name, value in samples.items()}


def test_what_the_identity_cache_saves_is_counted_by_person_and_frame() -> None:
    names = "face_detections", "face_detections_saved", "embeddings", "embeddings_saved"
    before = counted(*names)
    worker = Worker(observations=2).take(Camera().film(100))
    # Seen in 99 frames: two shots, seven frames between them, and then it is settled.
    made = {name: value - before[name] for name, value in counted(*names).items()}
    assert made == {
        "face_detections": 2, "embeddings": 2, "face_detections_saved": 90, "embeddings_saved": 97,
    }  # fmt: skip
    assert worker.vectors.made == 2

    before = counted(*names)
    Worker(min_face_px=100).take(Camera().film(100))
    made = {name: value - before[name] for name, value in counted(*names).items()}
    assert made["face_detections"] > 2
    assert {name for name, value in made.items() if value} == {"face_detections"}


def test_people_are_looked_for_so_often_and_shown_on_every_frame() -> None:
    often, seldom = Worker(), Worker(detections_per_second=12.5)
    for worker in (often, seldom):
        worker.take(Camera().film(60))
        assert [len(frame.tracks) for frame in worker.tracks[2:]] == [1] * 58
    assert (often.people.searches, seldom.people.searches) == (60, 30)
    assert seldom.ended[0].frames == 58


def test_faces_that_are_followed_are_looked_for_less_often() -> None:
    often, seldom = Worker(faces_only=True), Worker(faces_only=True, face_detections_per_second=5)
    for worker in (often, seldom):
        worker.take(Camera().film(60))
    assert (often.faces.searches, seldom.faces.searches) == (60, 12)


def test_small_faces_are_no_shots() -> None:
    worker = Worker(min_face_px=100).take(Camera().film(50))
    assert worker.observations == []
    assert {snapshot.kind for snapshot in worker.snapshots} == {pb.EVIDENCE_KIND_BODY}
    assert worker.vectors.made == 0
    assert worker.faces.searches < 15


def test_a_face_turned_away_is_a_shot_only_where_there_is_no_better() -> None:
    worker = Worker(observations=2)
    worker.faces.turned = 2
    worker.take(Camera().film(60))
    qualities = [shot.quality.frontality for shot in worker.observations]
    assert [round(front, 1) for front in qualities] == [0.0, 0.0, 1.0, 1.0]
    always = Worker(observations=2)
    always.faces.turned = 10**6
    always.take(Camera().film(100))
    assert len(always.observations) == always.vectors.made == 2
    film = Camera().film(60)
    later = Worker(observations=3).take(film[:3])
    later.faces.turned = 10**6
    later.take(film[3:])
    assert len(later.observations) == 1


def test_tracks_end_at_a_cut_and_never_span_it() -> None:
    before_cut, after_cut = Camera(), Camera()
    before_cut.noise = cv2.GaussianBlur(before_cut.noise, (0, 0), 30).astype(np.uint8)
    before_cut.noise = cv2.normalize(
        before_cut.noise, before_cut.noise.copy(), 20, 220, cv2.NORM_MINMAX
    ).astype(np.uint8)
    after_cut.noise = np.ascontiguousarray(before_cut.noise[::-1, ::-1])
    records = [before_cut.record(number) for number in range(10)]
    records += [after_cut.record(number, last=number == 19) for number in range(10, 20)]
    worker = Worker().take(records)
    before, after = worker.ended
    assert before.ended_at_us == START + 9 * STEP
    assert (after.started_at_us, after.ended_at_us) == (START + 11 * STEP, START + 19 * STEP)
    assert (before.track_number, after.track_number) == (1, 2)
    assert len(worker.tracks[10].tracks) == 0


def test_neither_light_nor_somebody_who_walks_by_is_a_cut() -> None:
    camera = Camera()
    camera.noise = cv2.GaussianBlur(camera.noise, (0, 0), 30).astype(np.uint8)
    camera.noise = cv2.normalize(
        camera.noise, camera.noise.copy(), 20, 220, cv2.NORM_MINMAX
    ).astype(np.uint8)
    records = [camera.record(number) for number in range(10)]
    camera.noise = (camera.noise * 0.5).astype(np.uint8)
    records += [camera.record(number) for number in range(10, 20)]
    camera.noise[60:, 150:220] = 255
    records += [camera.record(number) for number in range(20, 30)]
    assert Worker().take(records).ended == []


def test_somebody_out_of_sight_is_the_same_track_until_it_is_lost() -> None:
    camera = Camera()
    there, away = range(10), range(10, 40)
    records = [camera.record(number) for number in there]
    records += [camera.record(number, left=255) for number in away]
    records += [camera.record(40), camera.record(41)]
    assert len(Worker(lost_seconds=2).take(records).ended) == 0
    worker = Worker(lost_seconds=1).take(records)
    (end,) = worker.ended
    assert end.ended_at_us == START + 9 * STEP
    assert len({track.track_id for frame in worker.tracks for track in frame.tracks}) == 2


def test_a_track_never_spans_two_events_even_if_the_end_was_lost() -> None:
    camera = Camera()
    unfinished = [camera.record(number) for number in range(10)]
    later = START + 10_000_000
    worker = Worker().take(unfinished).take(camera.film(10, start=later))
    first, second = worker.ended
    assert first.motion_event_id == motion_event_id("door", START)
    assert second.motion_event_id == motion_event_id("door", later)
    assert first.track_id != second.track_id


def test_a_film_played_again_gives_the_same_ids() -> None:
    worker = Worker().take(Camera().film(20)).take(Camera().film(20))
    ids = [end.track_id for end in worker.ended]
    assert ids[0] == ids[1]
    cut_short = Worker().take(Camera().film(20)[:12]).take(Camera().film(20))
    assert [end.track_id for end in cut_short.ended] == ids


def test_a_frame_that_goes_back_in_time_is_recorded_and_changes_nothing() -> None:
    camera = Camera()
    film = camera.film(30)
    again = [*film[:20], film[10], film[19], *film[20:]]
    plain, disturbed = Worker().take(film), Worker().take(again)
    assert len(disturbed.tracks) == 32
    assert [len(frame.tracks) for frame in disturbed.tracks[20:22]] == [0, 0]
    assert disturbed.observations == plain.observations
    assert disturbed.ended == plain.ended


def test_a_bad_picture_is_a_frame_without_tracks_and_a_dead_letter() -> None:
    camera = Camera()
    worker = Worker().take([camera.record(number) for number in range(5)])
    outs = worker.processor.process(camera.record(5, bad=True, last=True))
    worker.outs += [next(outs), next(outs)]
    with pytest.raises(PoisonRecord, match="bad_jpeg"):
        next(outs)
    assert worker.tracks[-1].last_in_event and not worker.tracks[-1].tracks
    assert len(worker.ended) == 1


@pytest.mark.parametrize(
    "value", [b"", b"\xff\xff\xff", pb.Frame(camera_id="x").SerializeToString()]
)
def test_what_is_no_frame_is_refused(value: bytes) -> None:
    record = Record("frames.default", 0, 0, b"door", value, 0)
    with pytest.raises(PoisonRecord):
        Worker().take([record])


def test_cameras_do_not_touch_each_other() -> None:
    door, yard = Camera("door").film(30), Camera("yard").film(30, left=150)
    mixed = [record for pair in zip(door, yard, strict=True) for record in pair]
    worker = Worker().take(mixed)
    alone = Worker().take(Camera("door").film(30))
    assert [end for end in worker.ended if end.camera_id == "door"] == alone.ended
    assert {end.track_number for end in worker.ended} == {1}


def test_what_another_worker_has_now_is_forgotten() -> None:
    camera = Camera()
    worker = Worker().take([camera.record(number) for number in range(10)])
    worker.processor.forget([("frames.default", 1)])
    worker.take([camera.record(10)])
    assert worker.tracks[-1].tracks[0].track_id == track_id("door", START + STEP, 0)
    worker.processor.forget([("frames.default", 0)])
    worker.take([camera.record(11), camera.record(12)])
    assert worker.tracks[-1].tracks[0].track_id == track_id("door", START + 12 * STEP, 0)


def test_without_a_person_detector_faces_are_followed() -> None:
    worker = Worker(faces_only=True, observations=3).take(Camera().film(60))
    (name,) = {track.track_id for frame in worker.tracks for track in frame.tracks}
    assert len(worker.observations) == worker.vectors.made == 3
    for shot in worker.observations:
        assert shot.track_id == name
        assert shot.track_box == shot.face_box


def test_a_face_is_the_one_whose_head_it_is() -> None:
    in_front = np.array([100, 60, 160, 240], np.float32)
    behind = np.array([130, 20, 190, 220], np.float32)
    boxes = {1: in_front, 2: behind}
    head_behind = make_face(145, 30, 30)
    assert owner(head_behind, boxes) == 2
    assert choose_face([head_behind], 1, boxes) is None
    own = make_face(115, 65, 28)
    assert choose_face([head_behind, own], 1, boxes) is own
    assert owner(make_face(300, 200, 20), boxes) is None


def test_the_head_is_looked_for_above_and_not_at_the_feet() -> None:
    region = head_region(np.array([100, 50, 160, 230], np.float32))
    assert region[1] < 50 and region[3] < 50 + 0.4 * 180
    assert region[0] < 100 and region[2] > 160
