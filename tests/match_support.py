"""People made of numbers, and what cameras would say of them, for tests of the matcher."""

import signal
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from uuid import UUID

import numpy as np
from confluent_kafka import Producer

from processors.match.decision.identification import DecisionRules
from processors.match.embedding_codec import encode_embedding
from processors.match.index.gallery import GalleryIndex
from processors.match.index.unknown_person_index import UnknownPersonIndex
from processors.match.reference.identity_corrections import AffectedIdentities
from processors.match.reference.reference_data import ReferenceData
from processors.match.site_matcher import SiteMatcher
from processors.match.state.site_state import SiteState, load
from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.decode import decode
from schemas.topics import FACES, SIGHTINGS
from sightline.identity.calibration import Calibration
from sightline.identity.evidence import Vector
from sightline.identity.scale import ScoreScale
from sightline.people import employees
from sightline.people.employees import EmployeeProfile
from sightline.people.photos import PhotoTemplate
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.outbox import deliver
from sightline.streaming.client_config import producer_config
from tests.support import environment, eventually, read_topic, sightline_command, start

PACK = "test-numbers"
"""Never measured: the matcher takes it for a small ArcFace, whose strangers it never meets."""

PEOPLE = 64
DIMENSION = 128

SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US


def face(person: int) -> Vector:
    """The face of one of `PEOPLE`: nobody looks like anybody else."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[person] = 1.0
    return vector


def shot_of(person: int, seed: int, light: int = 0, likeness: float = 0.9) -> Vector:
    """A shot of a person: its cosine to the face is `likeness`.

    What else is in it is partly of the shot (seed), and mostly of what all shots of one track
    have in common (light).
    """
    vector = np.zeros(DIMENSION, np.float32)
    rest = 0.8 * _noise([person, light]) + 0.6 * _noise([person, light, seed])
    vector[PEOPLE:] = rest / np.linalg.norm(rest) * np.sqrt(1 - likeness**2)
    vector[person] = likeness
    return vector


def _noise(seed: list[int]) -> Vector:
    noise = np.random.default_rng(seed).normal(size=DIMENSION - PEOPLE)
    return np.asarray(noise / np.linalg.norm(noise), np.float32)


class NumbersScale:
    """A calibration that says the same whatever the gallery's size."""

    min_supported_rate = 1e-9
    agree = 0.44

    def scale(self, people: int, wanted_rate: float) -> ScoreScale:
        """Three shots name at .50, two at .55, one at .60."""
        return ScoreScale(
            (0.60, 0.55, 0.50), 0.44, 0.05, 0.05, self.agree, "numbers", wanted_rate, people
        )


class Site:
    """Site with its reference data and all sightings so far; no broker."""

    def __init__(self, *people: pb.GalleryPerson, rules: DecisionRules | None = None) -> None:
        self.reference = ReferenceData()
        self.gallery = GalleryIndex(self.reference.enrolled)
        self.reference.facts._calibrations[PACK] = cast(Calibration, NumbersScale())
        self.rules = rules or DecisionRules()
        self._attach(SiteState("site", self.reference))
        self.changelog: dict[bytes, bytes] = {}
        self.said: list[pb.Sighting] = []
        self.offset = 0
        self.redelivered_from = 10**9  # everything was committed at once
        self.latest_us: int | None = None  # of the matcher's clock
        for person in people:
            self.enrol(person)

    def _attach(self, state: SiteState) -> None:
        self.state = state
        self.matcher = SiteMatcher(state, self.reference, self.gallery)

    @property
    def unknown_index(self) -> UnknownPersonIndex:
        """Index of the site's unknown persons."""
        return self.matcher.unknown_index

    def enrol(self, person: pb.GalleryPerson) -> None:
        """Apply a record of the topic `gallery`."""
        self.gallery.put(person)
        self._refresh(AffectedIdentities(frozenset({ids.global_id(person.person_id)})))

    def leave(self, person_id: str) -> None:
        """Apply a tombstone of the topic `gallery`."""
        self.gallery.remove(person_id)
        self._refresh(AffectedIdentities(frozenset({ids.global_id(person_id)})))

    def tell(self, key: str, fact: pb.Fact | None) -> None:
        """Apply a record of the topic `facts`."""
        value = None if fact is None else fact.SerializeToString()
        self._refresh(self.reference.facts.put(key.encode(), value))

    def _refresh(self, affected: AffectedIdentities) -> None:
        self.state.unknown_persons.refresh(affected)

    def take(self, *events: pb.FaceEvent, stored: bool | None = None) -> list[pb.Sighting]:
        """Process events and return their sightings.

        `stored`: the process dies, with the state stored or not.
        """
        sightings: list[pb.Sighting] = []
        for event in events:
            step = self.matcher.decide(
                event,
                self.rules,
                redelivered_from=self.redelivered_from,
                latest_us=self.latest_us,
            )
            sightings += step.sightings
            for key, value in step.changes.records("site"):
                if stored is False:
                    break
                if value is None:
                    self.changelog.pop(key, None)
                else:
                    self.changelog[key] = value
            if stored is not None:
                continue
            self.offset += 1
            self.state.apply(step.changes)
            inner = event.observation if event.HasField("observation") else event.track_ended
            self.state.touch(inner.track_id, self.offset)
        self.said += sightings
        for sighting in sightings:
            decode(pb.Sighting, sighting.SerializeToString())
        return sightings

    def restart(self) -> None:
        """Restore the site from its changelog alone."""
        sites = load(self.changelog.items(), self.reference)
        self._attach(sites.get("site") or SiteState("site", self.reference))

    def last(self, walk: "Walk") -> pb.Sighting:
        """Return the latest sighting of a track."""
        sighting = last_of(self.said, walk)
        assert sighting is not None
        return sighting


class Walk:
    """One track of a person past a camera of a site."""

    def __init__(self, person: int, camera: str, site: str, at_s: float = 0.0) -> None:
        self.person = person
        self.camera = camera
        self.site = site
        self.start_us = START_US + int(at_s * SECOND_US)
        self.track_id = ids.track_id(camera, self.start_us, person)

    def shot(
        self, number: int, *, likeness: float = 0.9, vector: Vector | None = None, epoch: int = 0
    ) -> pb.FaceEvent:
        """The shot with a number, 0.3 s after the one before."""
        at_us = self.start_us + number * 300_000
        if vector is None:
            light = zlib.crc32(self.track_id.encode())
            vector = shot_of(self.person, number, light, likeness)
        return pb.FaceEvent(
            observation=pb.FaceObservation(
                observation_id=ids.observation_id(self.track_id, at_us),
                track_id=self.track_id,
                track_number=self.person + 1,
                epoch=epoch,
                camera_id=self.camera,
                site_id=self.site,
                motion_event_id=ids.motion_event_id(self.camera, self.start_us),
                sequence=number,
                captured_at_us=at_us,
                track_started_at_us=self.start_us,
                frame=pb.Position(topic="frames.default", partition=1, offset=at_us // 1000),
                width=640,
                height=360,
                track_box=pb.Box(x1=10, y1=10, x2=110, y2=310),
                face_box=pb.Box(x1=40, y1=20, x2=80, y2=70),
                quality=pb.FaceQuality(
                    size_px=40, sharpness=0.8, frontality=0.9, detector_score=0.9, overall=0.8
                ),
                pack=PACK,
                embedding=encode_embedding(vector),
            )
        )

    def end(self, after_s: float = 5.0) -> pb.FaceEvent:
        """The end of the track."""
        return pb.FaceEvent(
            track_ended=pb.TrackEnded(
                track_id=self.track_id,
                track_number=self.person + 1,
                camera_id=self.camera,
                site_id=self.site,
                motion_event_id=ids.motion_event_id(self.camera, self.start_us),
                started_at_us=self.start_us,
                ended_at_us=self.start_us + int(after_s * SECOND_US),
                frames=50,
                observations=3,
            )
        )

    def whole(self, shots: int = 3) -> list[pb.FaceEvent]:
        """All events of the track."""
        return [*(self.shot(number) for number in range(shots)), self.end()]


def gallery_person(person: int, name: str, revision: int = 1, **more: object) -> pb.GalleryPerson:
    """The gallery's record of a person with one photo."""
    record = pb.GalleryPerson(
        person_id=str(UUID(int=person + 1)),
        name=name,
        status="active",
        is_authorized=True,
        revision=revision,
        templates=[
            pb.Template(
                template_id="t", pack=PACK, vector=encode_embedding(face(person)), quality=0.9
            )
        ],
    )
    for field, value in more.items():
        setattr(record, field, value)
    return record


def enrol_numbers(settings: Settings, name: str, person: int) -> str:
    """Enrol a person by their numbers through the database and the outbox; their id."""
    look = PhotoTemplate(b"", face(person), 0.9)
    with connect(settings) as db, db.cursor() as cursor:
        employee, _ = employees.find_or_add(cursor, name, EmployeeProfile())
        employees.add_template(cursor, employee, PACK, f"enrollment_photos/{name}.jpg", look)
        employees.publish(cursor, employee)
    deliver(settings)
    return str(employee)


def produce(
    settings: Settings, events: Iterable[pb.FaceEvent], *, commit: bool = True, name: str = "test"
) -> None:
    """Write events to `faces` in one transaction, as vision does; abort it without `commit`."""
    producer = Producer(producer_config(settings, name, f"match-{name}"))
    producer.init_transactions(30)
    producer.begin_transaction()
    for event in events:
        inner = getattr(event, event.WhichOneof("event") or "observation")
        producer.produce(FACES.name, event.SerializeToString(), key=inner.site_id)
    producer.flush(60)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def sightings(settings: Settings, *sites: str) -> list[pb.Sighting]:
    """All sightings of sites so far, in order within a site."""
    keys = [site.encode() for site in sites]
    return [
        pb.Sighting.FromString(record.value or b"")
        for record in read_topic(settings, SIGHTINGS.name)
        if record.key in keys
    ]


def last_of(sightings: Sequence[pb.Sighting], walk: Walk) -> pb.Sighting | None:
    """The latest word on a track."""
    of_track = [sighting for sighting in sightings if sighting.track_id == walk.track_id]
    return of_track[-1] if of_track else None


def said(stack: Settings, walk: Walk, seconds: float = 40.0) -> pb.Sighting:
    """The last word on a track that has ended."""

    def ended() -> pb.Sighting | None:
        last = last_of(sightings(stack, walk.site), walk)
        return last if last is not None and last.status == pb.Sighting.ENDED else None

    sighting = eventually(ended, seconds, f"the end of {walk.track_id}")
    assert sighting is not None
    return sighting


class Worker:
    """A matcher in a process of its own."""

    def __init__(self, home: Path, log: Path, **environ: str) -> None:
        """`environ`: more of its environment."""
        self._log = log
        self.process = start(
            sightline_command("run", "match"), log, env=environment(home, **environ)
        )

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait(120)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(120)


@contextmanager
def worker(settings: Settings, folder: Path, **environ: str) -> Iterator[Worker]:
    """A matcher that is stopped at the end."""
    process = Worker(settings.home, folder / "match.log", **environ)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.kill()
