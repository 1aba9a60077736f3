"""Scenes in which a test says who stands where, as detectors and an embedder see them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from processors.vision.camera_state import CameraState
from processors.vision.face_roi import head_region
from processors.vision.pipeline import DecodedFrame, VisionPipeline
from processors.vision.settings import VisionSettings
from processors.vision.state_record import read_state, restore_state, save_state
from schemas import sightline_pb2 as pb
from schemas.decode import decode
from schemas.ids import motion_event_id
from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack, PersonBoxes
from sightline.streaming.records import OutputRecord
from tests.unit.test_vision_pipeline import LANDMARKS, vision_settings

START = 1_700_000_000_000_000
STEP = 100_000
"""Microseconds from one frame to the next."""

WIDTH, HEIGHT = 640, 240
BODY, HEAD_TO_FOOT = 60, 180
AWAY, HALF_TURNED = 0, 25
"""Person of a body whose face is not seen; what is added to a person's number for a face that is
half turned."""

_PATCH = 4
_GREY_OF_PERSON = 5


@dataclass(frozen=True, slots=True)
class Body:
    """A body in the picture, and whose face it has."""

    left: float
    person: int
    top: float = 40.0

    @property
    def box(self) -> Float32Array:
        """The box (4,) in which it is detected."""
        sides = [self.left, self.top, self.left + BODY, self.top + HEAD_TO_FOOT]
        return np.array(sides, np.float32)


Scene = Callable[[float], Sequence[Body]]
"""Bodies at a second of the film."""


@dataclass(slots=True)
class Actors:
    """Detectors and embedder of a film: bodies by the number of the frame in its first pixels."""

    scene: Scene
    step: int = STEP
    embedded: list[int] = field(default_factory=list)
    """Persons whose faces were embedded, in order."""
    searched: int = 0
    follows_faces: bool = False

    def pack(self) -> ModelPack:
        """Return the actors as models."""
        persons = None if self.follows_faces else _Persons(self)
        return ModelPack("test", persons, _Faces(self), _Embedder(self))

    def bodies(self, image: BGRImage) -> Sequence[Body]:
        """Return the bodies in a picture."""
        number = int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])
        return self.scene(number * self.step / 1_000_000)


@dataclass(slots=True)
class _Persons:
    actors: Actors

    def detect(self, images: Sequence[BGRImage]) -> list[PersonBoxes]:
        return [self._people(image) for image in images]

    def _people(self, image: BGRImage) -> PersonBoxes:
        boxes = [body.box for body in self.actors.bodies(image)]
        scores = np.full(len(boxes), 0.9, np.float32)
        return PersonBoxes(np.array(boxes, np.float32).reshape(-1, 4), scores)


@dataclass(slots=True)
class _Faces:
    actors: Actors

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        if self.actors.follows_faces:
            return [[face_of(body) for body in self.actors.bodies(image)] for image in images]
        self.actors.searched += len(images)
        return [self._in_head(image) for image in images]

    def _in_head(self, image: BGRImage) -> list[Face]:
        """Return the face in the middle of a head region, whose person its grey says."""
        height, width = image.shape[:2]
        side = height / 2
        face = _face((width - side) / 2, height * 0.2, side)
        person = person_of(image, face)
        if person == AWAY:
            return []
        return [face if person < HALF_TURNED else _half_turned(face)]


@dataclass(slots=True)
class _Embedder:
    actors: Actors
    dimension: int = 32

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        persons = [person_of(image, face) % HALF_TURNED for image, face in faces]
        self.actors.embedded += persons
        return [embedding_of(person) for person in persons]


def embedding_of(person: int) -> Float32Array:
    """Return the embedding of a person: 1 to 9 are strangers to each other.

    12 is like 1 at a cosine of .4, which can be 1 in a bad light as well as a stranger.
    """
    vector = np.zeros(32, np.float32)
    vector[person] = 1.0
    if person >= 10:
        vector[person], vector[person // 10] = np.sqrt(1 - 0.4**2), 0.4
    return vector


def face_of(body: Body) -> Face:
    """Return the face of a body as it is found in its head region."""
    x1, y1, x2, y2 = (float(side) for side in head_region(body.box))
    side = (y2 - y1) / 2
    return _face((x1 + x2 - side) / 2, y1 + 0.2 * (y2 - y1), side)


def _face(x: float, y: float, side: float) -> Face:
    box = np.array([x, y, x + side, y + side], np.float32)
    return Face(box, 0.9, np.asarray(LANDMARKS * side + np.array([x, y]), np.float32))


def _half_turned(face: Face) -> Face:
    landmarks = face.landmarks.copy()
    across = float(landmarks[1, 0] - landmarks[0, 0])
    landmarks[2, 0] = landmarks[0, 0] + 0.98 * across  # a frontality of about .36
    return Face(face.box, face.score, landmarks)


def person_of(image: BGRImage, face: Face) -> int:
    """Return the person whose grey is in the middle of a face."""
    x, y = (int(value) for value in (face.box[:2] + face.box[2:]) / 2)
    return int(image[y, x, 0]) // _GREY_OF_PERSON if image[y, x, 1] == 7 else AWAY


class Film:
    """A camera's frames of a scene, through the pipeline."""

    def __init__(self, scene: Scene, *, follows_faces: bool = False, **settings: float) -> None:
        self.actors = Actors(scene, follows_faces=follows_faces)
        groups = vision_settings(
            {"detections_per_second": 1000.0, "face_detections_per_second": 1000.0} | settings
        )
        self._evidence = groups.evidence
        self._pipeline = VisionPipeline(
            self.actors.pack(), VisionSettings.of(groups), groups.evidence
        )
        self.states: dict[str, CameraState] = {}
        self.outs: list[OutputRecord] = []
        grains = np.random.default_rng(1).integers(20, 250, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
        self._noise = grains.repeat(4, axis=0).repeat(4, axis=1)

    def play(self, seconds: float, *, dies_after_each_frame: bool = False) -> "Film":
        """Process a film of so many seconds."""
        count = round(seconds * 1_000_000 / STEP)
        for number in range(count):
            frame = pb.Frame(
                camera_id="door", site_id="home", sequence=number + 1,
                captured_at_us=START + number * STEP, width=WIDTH, height=HEIGHT,
                motion_event_id=motion_event_id("door", START), first_in_event=number == 0,
                last_in_event=number == count - 1,
            )  # fmt: skip
            position = pb.Position(topic="frames.default", partition=0, offset=number)
            picture = DecodedFrame(frame, position, self._picture(number))
            [outs] = self._pipeline.run(self.states, [("door", picture)])
            self.outs += outs
            if dies_after_each_frame and "door" in self.states:
                saved = save_state("door", number + 1, self.states["door"])
                message = read_state(saved, number + 1)
                self.states["door"] = restore_state(message, self._evidence.lost_seconds)
        return self

    def _picture(self, number: int) -> BGRImage:
        image = self._noise.copy()
        image[0, 0, 0], image[0, 0, 1] = number % 256, number // 256
        for body in self.actors.scene(number * STEP / 1_000_000):
            x1, y1, x2, y2 = (int(side) for side in face_of(body).box)
            x, y = (x1 + x2) // 2, (y1 + y2) // 2
            patch = image[y - _PATCH : y + _PATCH, x - _PATCH : x + _PATCH]
            patch[:] = (body.person * _GREY_OF_PERSON, 7 if body.person else 0, 0)
        return image

    @property
    def ends(self) -> list[pb.TrackEnded]:
        """Ends of tracks, in order."""
        return [event.track_ended for event in self.events() if event.HasField("track_ended")]

    @property
    def observations(self) -> list[pb.FaceObservation]:
        """Observations, in order."""
        return [event.observation for event in self.events() if event.HasField("observation")]

    def persons(self) -> dict[str, set[int]]:
        """Return by track the persons of its observations."""
        persons: dict[str, set[int]] = {end.track_id: set() for end in self.ends}
        for observation in self.observations:
            vector = np.frombuffer(observation.embedding, "<f4")
            persons.setdefault(observation.track_id, set()).add(int(np.argmax(vector)))
        return persons

    def tracks(self) -> list[pb.FrameTracks]:
        """Return the records of the frames."""
        return [decode(pb.FrameTracks, out.value) for out in self.outs if out.topic == "tracks"]

    def events(self) -> list[pb.FaceEvent]:
        """Return the observations and ends, in order."""
        return [decode(pb.FaceEvent, out.value) for out in self.outs if out.topic == "faces"]


def seconds(at_us: int) -> float:
    """Return a capture time as seconds of the film."""
    return (at_us - START) / 1_000_000
