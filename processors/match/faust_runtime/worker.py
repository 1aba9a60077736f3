"""Faust worker of the matcher: its app, one agent, failures, health, and the order of a commit."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn

import faust
from aiokafka.errors import (
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)
from faust.types import EventT, StreamT

from processors.match.faust_runtime.faust_rules import (
    SESSION_SECONDS,
    StateTable,
    add_agent,
    committed_offset,
    end_process,
    make_app,
)
from processors.match.faust_runtime.lease import Lease
from processors.match.faust_runtime.writer import Writer
from schemas.naming import match_group
from schemas.topics import FACES, LIVE, MATCH_STATE
from sightline.runtime import tracing
from sightline.runtime.clock import Clock
from sightline.runtime.errors import InfrastructureError, PoisonRecord
from sightline.runtime.fault_injection import FaultPoint, fault_point
from sightline.runtime.headers import Headers
from sightline.runtime.health import KAFKA, Health
from sightline.runtime.lifecycle import Stop
from sightline.runtime.log import log_fields
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import AioKafka, worker_id
from sightline.streaming.consumer_metrics import count_consumed, register_topics
from sightline.streaming.dead_letters import dead_letter
from sightline.streaming.records import OutputRecord, Record, with_headers

log = logging.getLogger(__name__)

SERVICE = "match"
_GROUP = match_group(LIVE)
_TABLE = "state"  # its changelog is MATCH_STATE

_REFUSALS = (
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)
"""Errors that sending again does not mend."""

_POLL_SECONDS = 0.05
"""Time in which a stop, or a failure, is noticed."""

Process = Callable[[Record, Headers], Awaitable[None]]
"""Processes a record of `faces`; the headers go with everything that it sends."""


class FaustWorker:
    """Reads `faces`, one event at a time, and hands each to a function that processes it."""

    def __init__(
        self,
        settings: Settings,
        kafka: AioKafka,
        clock: Clock,
        process: Process,
        on_assigned: Callable[[], None],
    ) -> None:
        """Make the app; an event loop has to run.

        Args:
            settings: All settings.
            kafka: Connection settings.
            clock: Clock of metrics and dead letters.
            process: Processes a record; InvalidRecord makes it a dead letter, any other exception
                ends the process.
            on_assigned: Called after each rebalance, when the table has been recovered.
        """
        self._process = process
        self._on_assigned = on_assigned
        self._clock = clock
        self._failure: BaseException | None = None
        self._is_processing = False
        self._health = Health()
        lease = self._lease = Lease(SESSION_SECONDS, _end)
        member = worker_id(settings, _GROUP) if settings.instance else None
        self.app: faust.App = make_app(_GROUP, kafka, settings.home / "match", lease, member)
        self._writer = Writer(kafka, lease)
        self.table = StateTable(self.app, self._writer, _TABLE, MATCH_STATE.partitions)
        register_topics(SERVICE, [FACES.name])
        faces = self.app.topic(
            FACES.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )
        add_agent(self.app, faces, SERVICE, self._work)
        self.app.on_rebalance_complete.connect(self._assigned, weak=False)

    async def run(
        self,
        stop: Stop,
        background: Sequence[Coroutine[Any, Any, None]],
        on_poll: Callable[[], None],
    ) -> None:
        """Work until `stop`.

        Args:
            stop: Tells the end, and has the health of the service.
            background: Run beside the agent; an exception of theirs ends the worker.
            on_poll: Called several times a second.

        Raises:
            InfrastructureError: Kafka does not go on.
        """
        self._health = stop.health
        tasks = [asyncio.create_task(coroutine) for coroutine in background]
        await self._writer.start()
        await self.app.start()
        log.info("match: ready")
        while not stop.is_set():
            await asyncio.sleep(_POLL_SECONDS)
            self._report_health(stop)
            on_poll()
            for task in tasks:
                if task.done():
                    task.result()
            self._raise_failure()
        await asyncio.wait_for(self.app.stop(), stop.remaining_seconds())
        for task in tasks:
            task.cancel()
        await self._writer.stop()

    def redelivered_from(self, record: Record) -> int:
        """Return the offset of a record's partition from which on records may come again."""
        return committed_offset(self.app, record.topic, record.partition)

    async def commit(
        self,
        record: Record,
        headers: Headers,
        outs: Sequence[OutputRecord],
        entries: list[tuple[bytes, bytes | None]],
    ) -> None:
        """Deliver what a record led to: first its outputs, then the state of its partition.

        1. The outputs are sent and awaited. A crash before or within: the event is decided again
           from the state before it, with the same ids, and sent again.
        2. The entries are written to the changelog, all or none, and awaited. A crash after it:
           the event comes again, and is recognised as decided.
        3. The caller applies the changes in memory; with its return the event is acknowledged,
           and its offset committed within a second.

        Raises:
            InvalidRecord: Kafka refuses the outputs or entries, however often they are sent.
            KafkaError: Not delivered.
        """
        fault_point(FaultPoint.BEFORE_PRODUCE)
        try:
            await self._writer.send(with_headers(list(outs), headers))
            fault_point(FaultPoint.BEFORE_STATE)
            await self.table.store(record.partition, entries)
        except _REFUSALS as error:
            raise PoisonRecord(
                "refused", f"Kafka does not take what it leads to: {error}"
            ) from error

    async def _work(self, stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            self._is_processing = True
            self._health.beat()
            try:
                await self._process_event(event)
            except Exception as error:  # noqa: BLE001 - ends the process, see rule 2
                # An exception that escapes acknowledges the event. So it does not, and the
                # event is kept from being acknowledged until the process has ended.
                self._failure = error
                await asyncio.Event().wait()
            self._is_processing = False

    async def _process_event(self, event: EventT[bytes]) -> None:
        record = _record(event)
        count_consumed(SERVICE, record, self._clock.now_us())
        if record.retry_for not in (None, SERVICE):
            return  # a replayed dead letter of another service
        place = log_fields(topic=record.topic, partition=record.partition, offset=record.offset)
        with place, tracing.trace_processing(SERVICE, record) as headers:
            try:
                await self._process(record, headers)
            except PoisonRecord as error:
                letter = dead_letter(record, SERVICE, error, self._clock.now_us())
                await self._writer.send(with_headers([letter], headers))
        fault_point(FaultPoint.BEFORE_COMMIT)

    async def _assigned(self, *_: Any, **__: Any) -> None:
        self._on_assigned()
        self._health.mark_ready()
        fault_point(FaultPoint.IN_RECOVERY)

    def _report_health(self, stop: Stop) -> None:
        if not self._is_processing:  # else the end of the event is the sign of life
            stop.beat()
        stop.health.report(KAFKA, self._lease.is_held())

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.app.crashed:
            raise InfrastructureError(f"match: Faust gave up: {self.app.crash_reason!r}")


async def done_before_stop(work: Coroutine[Any, Any, None], stop: Stop) -> bool:
    """Await a coroutine; False where `stop` came first and it was cancelled."""
    task = asyncio.create_task(work)
    while not task.done() and not stop.is_set():
        stop.beat()
        await asyncio.wait({task}, timeout=_POLL_SECONDS)
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.wait({task})
    return False


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


def _end(reason: str) -> NoReturn:
    log.error("match: %s: it ends, and writes nothing more", reason)
    end_process(1)
