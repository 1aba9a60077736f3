"""What keeps Faust from losing events: every rule in one place, with its reason.

Found by killing workers (faust-streaming 0.15.3, aiokafka 0.14). What Faust does by itself is
not changed where a setting or a signal is enough.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import aiokafka
import faust
from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from processors.match.lease import Lease
from processors.match.writer import DELIVERY_SECONDS, Writer
from sightline.streaming.client_config import AioKafka

_FETCH_WAIT_MS = 100
"""Faust's own 1500 keeps a partition that was resumed waiting for those that have nothing."""

SESSION_SECONDS = 6.0
"""After a kill -9 partitions move when this has run out; the least that brokers allow."""


def make_app(
    app_id: str, kafka: AioKafka, folder: Path, lease: Lease, member: str | None = None
) -> faust.App:
    """A Faust app with the settings that held.

    `member`: the name of a static member of the group, the same after a restart. Whoever comes
    back under it within the session has its partitions again at once, from the same assignment;
    it does not leave the group at a stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        app_id,
        broker=[URL(f"kafka://{server.strip()}") for server in kafka.servers],
        broker_credentials=_credentials(kafka),
        datadir=folder,
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        # exactly_once sends to topics that it does not read outside its transactions.
        processing_guarantee="at_least_once",
        value_serializer="raw",
        # Its topics are in our registry.
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        # At a stop the event in work is finished and committed.
        stream_wait_empty=True,
        stream_buffer_maxsize=256,
        stream_publish_on_commit=False,
        table_standby_replicas=0,
        broker_commit_interval=1.0,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=SESSION_SECONDS / 4,
        broker_rebalance_timeout=SESSION_SECONDS,
        broker_request_timeout=DELIVERY_SECONDS,
        consumer_group_instance_id=member,
        TableManager=_Tables,
    )
    transport = _Transport(app.conf.broker_consumer, app)
    transport.lease = lease
    app.transport = transport
    app.on_rebalance_complete.connect(_hold_flow, weak=False)
    return app


def _credentials(kafka: AioKafka) -> Credentials | None:
    """Who we are, in Faust's words."""
    access = kafka.access
    context = access.get("ssl_context")
    if "sasl_mechanism" in access:
        return SASLCredentials(
            username=access["sasl_plain_username"],
            password=access["sasl_plain_password"],
            mechanism=access["sasl_mechanism"],
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None


async def _hold_flow(app: Any, /, *_: Any, **__: Any) -> None:
    """Rule 1. Recovery resumes the source partitions before it has sought their committed
    offsets. What is fetched in between is dropped when the flow resumes, and the gap that
    this leaves is committed over: events are lost. So nothing flows until the seek is done.
    """
    app.consumer.stop_flow()
    app.flow_control.suspend()


class _Tables(TableManager):
    async def on_start(self) -> None:
        """Without the second in which Faust waits for tables that are still to be declared:
        whoever comes back has to be back soon.
        """
        await self._update_channels()
        await self.recovery.start()


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    logger = driver.logger

    async def on_start(self) -> None:
        """Rule 12. Without a lease a worker that was frozen writes over the one that has its
        sites now.
        """
        await super().on_start()
        transport, consumer = cast(_Transport, self.transport), cast(Any, self._consumer)
        transport.lease.follow(consumer._coordinator)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Rule 13. What was fetched is dropped at a rebalance and fetched again, but only where
        something was committed before is it sought: a partition of which nothing was would go on
        behind what was dropped, and the first commit would cover the gap.
        """
        committed = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics
        new = [tp for tp, offset in committed.items() if not offset and tp.topic not in changelogs]
        if new:
            await self.seek_to_beginning(*new)
        return committed

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        """Rule 10. At at_least_once Faust reads uncommitted, so it would take records of
        transactions that were aborted. Otherwise as in the driver.
        """
        conf = self.app.conf
        self._assignor = self.app.assignor
        return aiokafka.AIOKafkaConsumer(
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset=conf.consumer_auto_offset_reset,
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            check_crcs=conf.broker_check_crcs,
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )


class _Consumer(driver.Consumer):
    logger = driver.logger

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Rule 11. Transactions leave gaps in the offsets (their markers), and Faust counts the
        record after the gap as part of it: every gap holds the commit back by one interval,
        and under load it falls behind for ever.
        """
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def _to_message(self, tp: TP, record: Any) -> Any:
        """Rule 11, once more: a gap behind a partition's very first record is not noticed,
        because Faust takes its offset 0 for none, and then nothing is committed any more.
        """
        if self._read_offset[tp] == 0 and record.offset > 1:
            self._gap[tp].addi(1, record.offset)
        return super()._to_message(tp, record)


class _Transport(driver.Transport):
    Consumer = _Consumer
    lease: Lease


class StateTable:
    """A Faust table whose changes are in Kafka when a call returns.

    Rule 4. `table[key] = value` puts the change into a buffer that nobody awaits, so that an
    offset can be committed whose state is lost. Here the changelog has it first.
    """

    def __init__(self, app: faust.App, writer: Writer, name: str, partitions: int) -> None:
        self._writer = writer
        table = app.Table(name, key_type=bytes, value_type=bytes, partitions=partitions)
        self._table: Any = table  # what is needed of it and of its store is in no interface

    async def store(self, partition: int, entries: list[tuple[bytes, bytes | None]]) -> None:
        """Write entries of a source partition, all or none; None deletes."""
        await self._writer.store(self._table.changelog_topic_name, partition, entries)
        store = self._table.data
        for key, value in entries:
            if value is None:
                store.data.pop(key, None)
                store._key_partition.pop(key, None)
            else:
                store.data[key] = value
                # Faust notes the partition of recovered keys alone. A key written here would
                # outlive the loss of its partition, and be stale when that comes back.
                store._key_partition[key] = partition

    def by_partition(
        self, entries: list[tuple[bytes, bytes | None]]
    ) -> dict[int, list[tuple[bytes, bytes | None]]]:
        """Entries that are there, by the source partition that each of them is of."""
        found: dict[int, list[tuple[bytes, bytes | None]]] = {}
        for key, value in entries:
            partition = self._table.data._key_partition.get(key)
            if partition is not None:
                found.setdefault(partition, []).append((key, value))
        return found

    def entries(self) -> list[tuple[bytes, bytes]]:
        """All that is in it."""
        return list(self._table.data.data.items())


def committed_offset(app: faust.App, topic: str, partition: int) -> int:
    """The offset from which on records of a partition may be delivered again."""
    consumer: Any = app.consumer
    return int(consumer._committed_offset[TP(topic, partition)] or 0)


def end_process(status: int) -> NoReturn:
    """Rule 2. An event that could not be processed must not be acknowledged, and an orderly
    stop would wait for just that: the process ends without one.
    """
    os._exit(status)
