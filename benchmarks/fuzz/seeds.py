"""Good records of every topic to mutate: records of services, and golden payloads."""

import itertools

import cv2
from google.protobuf.message import Message

from benchmarks.fuzz.mutate import Seed
from ops.demo.demo_persons import DEMO_PERSONS, enrolment_photo
from schemas import ids, topics
from schemas import sightline_pb2 as pb
from tests.golden import MESSAGES
from tests.match_support import Site, Walk, face, gallery_person

SITE = "site"
CAMERA = "fuzz-door"


def of_topics() -> dict[str, list[Seed]]:
    """Return good records of one camera by topic, whose messages are consistent."""
    walks = [Walk(person, CAMERA, SITE, 30.0 * person) for person in range(4)]
    events = list(itertools.chain.from_iterable(walk.whole(4) for walk in walks))
    site = Site(gallery_person(1, "Ann"))
    sightings = site.take(*events)
    jpeg = _jpeg()
    state: list[Seed] = [(key, _state(key, value)) for key, value in site.changelog.items()]
    first = walks[0].shot(0).observation
    camera, site_key = CAMERA.encode(), SITE.encode()
    return {
        topics.frames().name: [(camera, _frame(first, number, jpeg)) for number in range(5)],
        topics.vision_state().name: [(camera, _of("VisionState"))],
        topics.CROPS.name: [(camera, _crop(walk, jpeg)) for walk in walks],
        topics.CROP_OUTCOMES.name: [
            (camera, _of(name)) for name in MESSAGES if name.startswith("CropOutcome.")
        ],
        topics.CROP_STATE.name: [(b"door|7", _of("CropTrackState"))],
        topics.MOTION_EVENTS.name: [(camera, _motion(walk)) for walk in walks],
        topics.TRACKS.name: [
            (camera, _tracks(walk, number)) for walk in walks for number in range(3)
        ],
        topics.FACES.name: [(site_key, event) for event in events],
        topics.SNAPSHOTS.name: [(walk.track_id.encode(), _snapshot(walk, jpeg)) for walk in walks],
        topics.SIGHTINGS.name: [(site_key, sighting) for sighting in sightings],
        topics.GALLERY.name: [_person(number) for number in range(1, 5)],
        topics.FACTS.name: [
            (b"track|x", _of(name)) for name in MESSAGES if name.startswith("Fact.")
        ],
        topics.DEAD_LETTERS.name: [(b"frames.default", _of("DeadLetter"))],
        topics.MATCH_STATE.name: state,
    }


def _of(name: str) -> Message:
    message = MESSAGES[name]
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _jpeg() -> bytes:
    small = cv2.resize(enrolment_photo(DEMO_PERSONS[0]), (96, 96))
    return cv2.imencode(".jpg", small)[1].tobytes()


def _frame(first: pb.FaceObservation, number: int, jpeg: bytes) -> pb.Frame:
    return pb.Frame(
        camera_id=CAMERA, site_id=SITE, sequence=number,
        captured_at_us=first.captured_at_us + number * 100_000, jpeg=jpeg, width=96, height=96,
        motion_event_id=first.motion_event_id, first_in_event=not number, last_in_event=number == 4,
    )  # fmt: skip


def _motion(walk: Walk) -> pb.MotionEvent:
    return pb.MotionEvent(
        event_id=ids.motion_event_id(CAMERA, walk.start_us), camera_id=CAMERA, site_id=SITE,
        kind=pb.MotionEvent.ENDED if walk.person % 2 else pb.MotionEvent.STARTED,
        at_us=walk.start_us + walk.person % 2 * 5_000_000, first_sequence=1, last_sequence=50,
        frames=48, started_at_us=walk.start_us,
    )  # fmt: skip


def _tracks(walk: Walk, number: int) -> pb.FrameTracks:
    observation = walk.shot(number).observation
    return pb.FrameTracks(
        camera_id=CAMERA, site_id=SITE, sequence=number, captured_at_us=observation.captured_at_us,
        frame=observation.frame, width=640, height=360, motion_event_id=observation.motion_event_id,
        last_in_event=number == 2,
        tracks=[
            pb.TrackBox(
                track_id=walk.track_id, track_number=1, box=observation.track_box, score=0.9
            )
        ],
    )  # fmt: skip


def _snapshot(walk: Walk, jpeg: bytes) -> pb.Snapshot:
    observation = walk.shot(1).observation
    return pb.Snapshot(
        track_id=walk.track_id, camera_id=CAMERA, site_id=SITE, frame=observation.frame, jpeg=jpeg,
        captured_at_us=observation.captured_at_us, quality=0.8,
    )  # fmt: skip


def _crop(walk: Walk, jpeg: bytes) -> pb.Crop:
    shot = walk.shot(1).observation
    return pb.Crop(
        crop_id=shot.observation_id, camera_id=CAMERA, site_id=SITE, track_number=walk.person,
        captured_at_us=shot.captured_at_us, jpeg=jpeg, reply=True,
    )  # fmt: skip


def _person(number: int) -> Seed:
    record = gallery_person(number, f"Fuzz {number}")
    record.templates[0].vector = face(number).tobytes()
    return record.person_id.encode(), record


def _state(key: bytes, value: bytes) -> pb.TrackState | pb.UnknownPerson:
    kind = pb.TrackState if key.startswith(b"t|") else pb.UnknownPerson
    return kind.FromString(value)
