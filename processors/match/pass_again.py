"""Live's faces of some sites, gone through once more, with a run's faces in place of their own."""

import heapq
import logging
import sys
from collections.abc import Callable, Iterable, Iterator

from processors.match.decide import Rules
from processors.match.known import Known
from processors.match.order import Face, Key, LiveOrder, key_of_live
from processors.match.state import Changes, SiteState
from processors.match.step import Step, step
from processors.match.strangers import with_looks
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.naming import is_person_state, of_run
from schemas.topics import FACES, MATCH_STATE, SIGHTINGS
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import InvalidRecord
from sightline.runtime.settings import Settings
from sightline.streaming.dead_letters import give_up
from sightline.streaming.records import Out, Record
from sightline.streaming.topic_reader import records_from, retained

log = logging.getLogger(__name__)

_SERVICE = "match"

_ALL_SETTLED = sys.maxsize
"""Nothing is delivered again."""


class Again:
    """The matching of a run, partition by partition."""

    def __init__(
        self,
        settings: Settings,
        known: Known,
        events: frozenset[str],
        beat: Callable[[], None],
    ) -> None:
        """`beat` is called at every record that is read."""
        self._settings = settings
        self._known = known
        self._events = events
        self._rules = Rules.of(settings)
        self._beat = beat
        self._clock = SystemClock()
        self._starts = {
            number: low for number, (low, _end) in retained(settings, FACES.name).items()
        }
        self._orders: dict[int, LiveOrder] = {}
        self._met: dict[int, set[str]] = {}
        """By partition the tracks of which Kafka still has what live met."""
        self.packs: set[str] = set()
        """Of the faces that live has met in the run's motion events."""

    def look_through_live(self) -> None:
        """Learn in which order live has met the run's faces, and by which packs."""
        for number in self._starts:
            order, met = LiveOrder(), set[str]()
            for face in self._live(number):
                met.add(face.inner.track_id)
                if face.inner.motion_event_id in self._events:
                    order.add(face)
                    if face.event.HasField("observation"):
                        self.packs.add(face.event.observation.pack)
            self._orders[number], self._met[number] = order, met

    def match(self, number: int) -> Iterator[Out]:
        """What is to be said of the run's tracks in a partition; dead letters as well."""
        faces = list(self._faces(of_run(FACES, self._settings.run).name, number, 0))
        if not faces:
            return
        sites = {face.inner.site_id: SiteState(face.inner.site_id, self._known) for face in faces}
        self._remember_strangers(number, sites)
        left, alive = len(faces), set[str]()
        placed = self._orders[number].place(faces)
        for _key, face in heapq.merge(self._others(number, sites), placed, key=lambda one: one[0]):
            is_own = face.inner.motion_event_id in self._events
            left -= is_own
            try:
                done = self._step(face, sites[face.inner.site_id])
            except InvalidRecord as error:
                if is_own:
                    yield give_up(
                        face.record, _SERVICE, error, self._clock.now_us(),
                        run=self._settings.run,
                    )  # fmt: skip
                continue
            for track_id, track in done.changes.tracks.items():
                if track is None:
                    alive.discard(track_id)
                elif track.decided.motion_event_id in self._events:
                    alive.add(track_id)
            yield from self._outs(done.sightings)
            if not left and not alive:
                return  # all of the run's tracks are forgotten: nothing renames them any more

    def _step(self, face: Face, site: SiteState) -> Step:
        done = step(face.event, site, self._known, self._rules, settled=_ALL_SETTLED)
        site.apply(done.changes)
        return done

    def _outs(self, sightings: Iterable[pb.Sighting]) -> Iterator[Out]:
        topic = of_run(SIGHTINGS, self._settings.run).name
        for one in sightings:
            if one.motion_event_id in self._events:
                value = one.SerializeToString(deterministic=True)
                yield Out(topic, one.site_id, value, one.decided_at_us // 1000)

    def _others(self, number: int, sites: dict[str, SiteState]) -> Iterator[tuple[Key, Face]]:
        """What live has met at these sites besides, each at its own offset."""
        for face in self._live(number):
            if face.inner.site_id in sites and face.inner.motion_event_id not in self._events:
                yield key_of_live(face.record.offset), face

    def _live(self, number: int) -> Iterator[Face]:
        return self._faces(FACES.name, number, self._starts[number])

    def _faces(self, topic: str, number: int, start: int) -> Iterator[Face]:
        for record in records_from(self._settings, topic, {number: start}):
            self._beat()
            if record.retry_for not in (None, _SERVICE):
                continue
            try:
                yield Face(record, record.decode(pb.FaceEvent))
            except InvalidRecord:
                continue  # a dead letter of live; vision writes none in a run

    def _remember_strangers(self, number: int, sites: dict[str, SiteState]) -> None:
        """Let sites know the strangers whom they had met before all that Kafka still has.

        Of those alone, the matcher's state of today says how they looked then.
        """
        today: dict[bytes, Record] = {}
        for record in records_from(self._settings, MATCH_STATE.name, {number: 0}):
            today[record.key or b""] = record
        for record in today.values():
            stranger = _stranger(record)
            if stranger is None or stranger.site_id not in sites:
                continue
            met = self._met[number]
            before = with_looks(
                stranger, [look for look in stranger.templates if look.track_id not in met]
            )
            if before is not None:
                changes = Changes(strangers={before.global_id: before})
                sites[before.site_id].apply(changes)


def _stranger(record: Record) -> pb.UnknownPerson | None:
    if record.value is None or not is_person_state(record.key or b""):
        return None
    try:
        return decode(pb.UnknownPerson, record.value)
    except InvalidMessageError as error:
        log.warning("a stranger is left out: %s", error)
        return None
