"""Replay pass: live's faces of the sites once more, with a run's faces in place of their own."""

import heapq
import logging
import sys
from collections.abc import Callable, Iterable, Iterator

from processors.match.decision.identification import DecisionRules
from processors.match.decision.step import Step
from processors.match.index.gallery import GalleryIndex
from processors.match.reference.reference_data import ReferenceData
from processors.match.replay.replay_order import FaceRecord, LiveOrder, OrderKey, key_of_live
from processors.match.sighting_output import record_of
from processors.match.site_matcher import SiteMatcher
from processors.match.state.site_state import Changes, SiteState
from processors.match.state.unknown_persons import with_templates
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.naming import is_person_state, of_run
from schemas.topics import FACES, MATCH_STATE, SIGHTINGS
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.streaming.dead_letters import dead_letter
from sightline.streaming.records import OutputRecord, Record
from sightline.streaming.topic_reader import fetch_watermarks, records_from

log = logging.getLogger(__name__)

_SERVICE = "match"

_NOTHING_REDELIVERED = sys.maxsize
"""Offset from which on records come again, in a pass that reads each once."""


class ReplayPass:
    """Matching of a run, partition by partition."""

    def __init__(
        self,
        settings: Settings,
        reference: ReferenceData,
        gallery: GalleryIndex,
        events: frozenset[str],
        beat: Callable[[], None],
    ) -> None:
        """Make a pass that has read nothing yet.

        Args:
            settings: All settings; they name the run.
            reference: Enrolled people and facts.
            gallery: Index of the enrolled people.
            events: Ids of the run's motion events.
            beat: Called at every record that is read.
        """
        self._settings = settings
        self._reference = reference
        self._gallery = gallery
        self._events = events
        self._rules = DecisionRules.of(settings)
        self._beat = beat
        self._clock = SystemClock()
        self._starts = {
            partition: low
            for partition, (low, _end) in fetch_watermarks(settings, FACES.name).items()
        }
        self._orders: dict[int, LiveOrder] = {}
        self._retained_tracks: dict[int, set[str]] = {}
        """Tracks by partition whose events of live are still in Kafka."""
        self.packs: set[str] = set()
        """Packs of the faces that live has met in the run's motion events."""

    def read_live(self) -> None:
        """Read in which order live has met the run's faces, and by which packs."""
        for partition in self._starts:
            order, tracks = LiveOrder(), set[str]()
            for face in self._live(partition):
                tracks.add(face.inner.track_id)
                if face.inner.motion_event_id in self._events:
                    order.add(face)
                    if face.event.HasField("observation"):
                        self.packs.add(face.event.observation.pack)
            self._orders[partition], self._retained_tracks[partition] = order, tracks

    def match(self, partition: int) -> Iterator[OutputRecord]:
        """Yield the sightings of the run's tracks in a partition, and its dead letters."""
        faces = list(self._faces(of_run(FACES, self._settings.run).name, partition, 0))
        if not faces:
            return
        sites = {site_id: self._site(site_id) for site_id in _site_ids(faces)}
        self._restore_unknown_persons(partition, sites)
        remaining, alive = len(faces), set[str]()
        placed = self._orders[partition].place(faces)
        others = self._others(partition, sites)
        for _key, face in heapq.merge(others, placed, key=lambda entry: entry[0]):
            is_own = face.inner.motion_event_id in self._events
            remaining -= is_own
            try:
                step = self._step(face, sites[face.inner.site_id])
            except PoisonRecord as error:
                if is_own:
                    yield dead_letter(
                        face.record, _SERVICE, error, self._clock.now_us(),
                        run=self._settings.run,
                    )  # fmt: skip
                continue
            for track_id, track in step.changes.tracks.items():
                if track is None:
                    alive.discard(track_id)
                elif track.decided.motion_event_id in self._events:
                    alive.add(track_id)
            yield from self._outs(step.sightings)
            if not remaining and not alive:
                return  # all of the run's tracks have expired: nothing renames them any more

    def _site(self, site_id: str) -> SiteMatcher:
        return SiteMatcher(SiteState(site_id, self._reference), self._reference, self._gallery)

    def _step(self, face: FaceRecord, site: SiteMatcher) -> Step:
        step = site.decide(face.event, self._rules, redelivered_from=_NOTHING_REDELIVERED)
        site.state.apply(step.changes)
        return step

    def _outs(self, sightings: Iterable[pb.Sighting]) -> Iterator[OutputRecord]:
        topic = of_run(SIGHTINGS, self._settings.run).name
        for sighting in sightings:
            if sighting.motion_event_id in self._events:
                yield record_of(sighting, topic)

    def _others(
        self, partition: int, sites: dict[str, SiteMatcher]
    ) -> Iterator[tuple[OrderKey, FaceRecord]]:
        """Yield live's other events at these sites, each at its own offset."""
        for face in self._live(partition):
            if face.inner.site_id in sites and face.inner.motion_event_id not in self._events:
                yield key_of_live(face.record.offset), face

    def _live(self, partition: int) -> Iterator[FaceRecord]:
        return self._faces(FACES.name, partition, self._starts[partition])

    def _faces(self, topic: str, partition: int, start: int) -> Iterator[FaceRecord]:
        for record in records_from(self._settings, topic, {partition: start}):
            self._beat()
            if record.retry_for not in (None, _SERVICE):
                continue
            try:
                yield FaceRecord(record, record.decode(pb.FaceEvent))
            except PoisonRecord:
                continue  # a dead letter of live; vision writes none in a run

    def _restore_unknown_persons(self, partition: int, sites: dict[str, SiteMatcher]) -> None:
        """Restore the unknown persons that sites had met before the events still in Kafka.

        Of those alone, the matcher's state of today has the templates of that time.
        """
        latest: dict[bytes, Record] = {}
        for record in records_from(self._settings, MATCH_STATE.name, {partition: 0}):
            latest[record.key or b""] = record
        retained_tracks = self._retained_tracks[partition]
        for record in latest.values():
            person = _unknown_person(record)
            if person is None or person.site_id not in sites:
                continue
            earlier = [
                template
                for template in person.templates
                if template.track_id not in retained_tracks
            ]
            before = with_templates(person, earlier)
            if before is not None:
                changes = Changes(unknown_persons={before.global_id: before})
                sites[before.site_id].state.apply(changes)


def _site_ids(faces: Iterable[FaceRecord]) -> Iterable[str]:
    return dict.fromkeys(face.inner.site_id for face in faces)


def _unknown_person(record: Record) -> pb.UnknownPerson | None:
    if record.value is None or not is_person_state(record.key or b""):
        return None
    try:
        return decode(pb.UnknownPerson, record.value)
    except InvalidMessageError as error:
        log.warning("an unknown person is left out: %s", error)
        return None
