"""The matching stream: faces in, sightings out, by Faust.

The order for one event: decide, send the sightings, wait until Kafka has them, write the state
to the changelog, all of it or nothing, wait, take it over in memory; then the event is
acknowledged and its offset committed. Whatever dies in between, the event is done again, from
the state before it or the state after it, with the same ids.
"""

import asyncio
import logging
from typing import Any, NoReturn

import faust
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)
from faust.exceptions import FaustError
from faust.types import EventT, StreamT

from processors.match.decide import Rules
from processors.match.faust_rules import (
    SESSION_SECONDS,
    StateTable,
    committed_offset,
    end_process,
    make_app,
)
from processors.match.follow import Follower
from processors.match.gauges import Gauges
from processors.match.known import Known
from processors.match.lease import Lease
from processors.match.overlay import Touched
from processors.match.state import SiteState, load
from processors.match.step import inner_of, step
from processors.match.writer import Writer
from schemas import sightline_pb2 as pb
from schemas.naming import match_group
from schemas.topics import FACES, LIVE, MATCH_STATE, SIGHTINGS
from sightline.runtime import metrics, tracing
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, InvalidRecord
from sightline.runtime.fault_injection import Place, reach
from sightline.runtime.headers import Headers
from sightline.runtime.health import KAFKA, Health
from sightline.runtime.lifecycle import Stop, start_service
from sightline.runtime.log import about
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import aiokafka_config, worker_id
from sightline.streaming.consumer_metrics import expect, took
from sightline.streaming.dead_letters import give_up
from sightline.streaming.records import Out, Record, with_headers

log = logging.getLogger(__name__)

_SERVICE = "match"
_APP = match_group(LIVE)
_TABLE = "state"  # its changelog is MATCH_STATE
_REFUSED = (
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)
"""However often it is sent, Kafka will not take it."""

_SEEN = (pb.Sighting.CONFIRMED, pb.Sighting.CHANGED)
"""Decisions that become rows."""

_LOOK_SECONDS = 0.05
"""How soon a wish to stop, or a failure, is noticed."""


class MatchWorker:
    """The chain: `faces` → decide → `sightings`, with `gallery` and `facts` beside it."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rules = Rules.of(settings)
        self._sites: dict[str, SiteState] | None = None
        self._failure: BaseException | None = None
        self._is_at_work = False
        self._health = Health()
        kafka = aiokafka_config(settings)
        self._known = Known()
        self._follower = Follower(kafka, self._known, self._follow)
        # Of what the sites remember there is one change at a time.
        self._turn = asyncio.Lock()
        self._is_recovered = False
        self._erasing = asyncio.Event()
        lease = self._lease = Lease(SESSION_SECONDS, _end)
        member = worker_id(settings, _APP) if settings.instance else None
        self._app: faust.App = make_app(_APP, kafka, settings.home / "match", lease, member)
        self._writer = Writer(kafka, lease)
        self._table = StateTable(self._app, self._writer, _TABLE, MATCH_STATE.partitions)
        self._gauges = Gauges(self._app, self._known, self._clock)
        expect(_SERVICE, [FACES.name])
        faces = self._app.topic(
            FACES.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )
        # Rule 3: more than one at a time would commit past work in flight.
        self._app.agent(faces, name=_SERVICE, concurrency=1)(self._work)
        self._app.on_rebalance_complete.connect(self._forget, weak=False)

    async def run(self, stop: Stop) -> None:
        """Work until `stop`. Raises InfrastructureError when Kafka does not go on."""
        self._health = stop.health
        if not await self._load(stop):
            return
        following = asyncio.create_task(self._follower.follow())
        erasing = asyncio.create_task(self._erase())
        await self._writer.start()
        await self._app.start()
        log.info("match: ready")
        while not stop:
            await asyncio.sleep(_LOOK_SECONDS)
            self._tell_health(stop)
            self._gauges.look((self._sites or {}).values(), self._follower.consumer)
            for task in (following, erasing):
                if task.done():
                    task.result()
            self._raise_failure()
        await asyncio.wait_for(self._app.stop(), stop.remaining())
        following.cancel()
        erasing.cancel()
        await self._writer.stop()
        await self._follower.close()

    async def _load(self, stop: Stop) -> bool:
        """Read what is known; False where it is to stop before that is done."""
        loading = asyncio.create_task(self._follower.load())
        while not loading.done() and not stop:
            stop.beat()
            await asyncio.wait({loading}, timeout=_LOOK_SECONDS)
        if loading.done():
            loading.result()
            return True
        loading.cancel()
        await asyncio.wait({loading})
        await self._follower.close()
        return False

    def _tell_health(self, stop: Stop) -> None:
        if not self._is_at_work:  # else the event's end is what counts
            stop.beat()
        stop.health.tell(KAFKA, self._lease.is_held())

    async def _work(self, stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            self._is_at_work = True
            self._health.beat()
            try:
                await self._process(event)
            except Exception as error:  # noqa: BLE001 - ends the process, see rule 2
                # An exception that escapes acknowledges the event. So it does not, and the
                # event is kept from being acknowledged until the process has ended.
                self._failure = error
                await asyncio.Event().wait()
            self._is_at_work = False

    async def _process(self, event: EventT[bytes]) -> None:
        record = _record(event)
        took(_SERVICE, record, self._clock.now_us())
        if record.retry_for not in (None, _SERVICE):
            return  # a dead letter of another service, which takes it once more
        place = about(topic=record.topic, partition=record.partition, offset=record.offset)
        with place, tracing.step(_SERVICE, record) as headers:
            try:
                async with self._turn:
                    await self._advance(record, headers)
            except InvalidRecord as error:
                letter = give_up(record, _SERVICE, error, self._clock.now_us())
                await self._writer.send(with_headers([letter], headers))
        reach(Place.BEFORE_COMMIT)

    async def _advance(self, record: Record, headers: Headers) -> None:
        """Decide, send with headers, store. Raises InvalidRecord for what never can be."""
        event = record.decode(pb.FaceEvent)
        inner = inner_of(event)
        site = self._site(inner.site_id)
        settled = committed_offset(self._app, record.topic, record.partition)
        with metrics.STAGE_SECONDS.labels("decide").time():
            done = step(event, site, self._known, self._rules, settled=settled)
        reach(Place.BEFORE_PRODUCE)
        try:
            outs = [_out(sighting) for sighting in done.sightings]
            await self._writer.send(with_headers(outs, headers))
            reach(Place.BEFORE_STATE)
            await self._table.store(record.partition, list(done.changes.records(inner.site_id)))
        except _REFUSED as error:
            raise InvalidRecord(
                "refused", f"Kafka does not take what it leads to: {error}"
            ) from error
        site.apply(done.changes)
        site.touch(inner.track_id, record.offset)

    async def _erase(self) -> None:
        """Forget people who were erased: after each recovery, and when one more is told of."""
        while True:
            await self._erasing.wait()
            self._erasing.clear()
            async with self._turn:
                for site_id, site in self._all_sites().items():
                    changes = site.erased()
                    entries = list(changes.records(site_id))
                    for partition, some in self._table.by_partition(entries).items():
                        await self._table.store(partition, some)
                    site.apply(changes)

    def _site(self, site_id: str) -> SiteState:
        sites = self._all_sites()
        if site_id not in sites:
            sites[site_id] = SiteState(site_id, self._known)
        return sites[site_id]

    def _all_sites(self) -> dict[str, SiteState]:
        if self._sites is None:
            self._sites = load(self._table.entries(), self._known)
        return self._sites

    def _follow(self, touched: Touched) -> None:
        """What is known has changed: who is enrolled, or what people have said."""
        for site in (self._sites or {}).values():
            site.strangers.refresh(touched)
        if self._is_recovered and any(map(self._known.overlay.is_erased, touched.people)):
            self._erasing.set()

    async def _forget(self, *_: Any, **__: Any) -> None:
        """After a rebalance the table, which is read by now, says what the sites are."""
        self._sites = None
        self._is_recovered = True
        self._erasing.set()
        self._health.ready()
        reach(Place.IN_RECOVERY)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._app.crashed:
            raise InfrastructureError(f"match: Faust gave up: {self._app.crash_reason!r}")


def _record(event: EventT[bytes]) -> Record:
    message: Any = event.message  # its headers are as aiokafka has them
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        timestamp_ms=int((message.timestamp or 0) * 1000),
        headers=tuple((key, value or b"") for key, value in message.headers or ()),
    )


def _out(sighting: pb.Sighting) -> Out:
    _tell(sighting)
    return Out(
        SIGHTINGS.name,
        sighting.site_id,
        sighting.SerializeToString(deterministic=True),
        sighting.decided_at_us // 1000,
    )


def _tell(sighting: pb.Sighting) -> None:
    """Count a decision, and log one that people see; by ids, never by name."""
    if sighting.again:
        return  # no decision: an earlier one told once more
    status = pb.Sighting.Status.Name(sighting.status).lower()
    kind = "known" if sighting.person_id else "unknown"
    metrics.DECISIONS.labels(status, kind).inc()
    if sighting.status == pb.Sighting.CHANGED:
        metrics.DECISIONS_CHANGED.inc()
    camera, track, person = sighting.camera_id, sighting.track_id, sighting.global_id
    log.log(
        logging.INFO if sighting.status in _SEEN else logging.DEBUG,
        "%s: track %s is %s person %d, %s", camera, track, kind, person, status,
        extra={
            "camera": camera, "track": track, "person": person, "event": sighting.motion_event_id
        },
    )  # fmt: skip


def _end(why: str) -> NoReturn:
    log.error("match: %s: it ends, and writes nothing more", why)
    end_process(1)


async def _serve(settings: Settings, stop: Stop) -> None:
    # Faust's objects belong to the loop that runs when they are made. A failure ends the process
    # here: on its way out of the loop it would wait for Faust's tasks, for ever.
    try:
        await MatchWorker(settings).run(stop)
    except (KafkaError, FaustError, InfrastructureError, TimeoutError) as error:
        log.error("match: Kafka does not go on: %s", error or type(error).__name__)  # noqa: TRY400
        end_process(1)
    except Exception:
        log.exception("match: failed")
        end_process(1)


def run(settings: Settings) -> None:
    """The service `match`."""
    asyncio.run(_serve(settings, start_service(_SERVICE, settings)))
