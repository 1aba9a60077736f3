"""Rules that keep Faust from losing events, all in one place, each with its reason.

They were found by killing workers (faust-streaming 0.15.3, aiokafka 0.14). Faust's own code is not
changed where a setting or a signal is enough.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import aiokafka
import faust
from faust.agents import Agent
from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ChannelT
from faust.types.agents import AgentFun
from yarl import URL

from processors.match.faust_runtime.lease import Lease
from processors.match.faust_runtime.writer import DELIVERY_SECONDS, Writer
from sightline.streaming.client_config import AioKafka

_FETCH_WAIT_MS = 100
"""Faust's own 1500 ms keep a resumed partition waiting for those without records."""

SESSION_SECONDS = 6.0
"""Time after a kill -9 in which partitions move; the least that brokers allow."""


def make_app(
    app_id: str, kafka: AioKafka, folder: Path, lease: Lease, member: str | None = None
) -> faust.App:
    """Make a Faust app with the settings that lose nothing.

    Args:
        app_id: Consumer group.
        kafka: Connection settings.
        folder: Data folder of Faust.
        lease: Lease that the group's heartbeats renew.
        member: Name of a static member of the group, the same after a restart. A worker that
            returns under it within the session has its partitions again at once, from the same
            assignment; it does not leave the group at a stop.
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
        # exactly_once sends outside its transactions to topics that it does not read.
        processing_guarantee="at_least_once",
        value_serializer="raw",
        # The topics are declared in the registry of the contract.
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        # At a stop the event in work is finished, and its offset committed.
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


def add_agent(app: faust.App, channel: ChannelT[bytes], name: str, work: AgentFun[bytes]) -> None:
    """Add the agent that reads a channel, one event at a time.

    `App.agent` announces it to Venusian as well, which reads the path of every loaded module for
    it: a quarter of a second of each start. Only Faust's discovery of agents needs that.
    """
    # Rule 3: more than one at a time would commit past work in flight.
    agent = Agent(
        work, app=app, name=name, channel=channel, concurrency=1, on_error=app._on_agent_error
    )
    app.agents[agent.name] = agent


def _credentials(kafka: AioKafka) -> Credentials | None:
    """Return the credentials in Faust's types."""
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
    """Hold the flow until the committed offsets are sought.

    Rule 1. Recovery resumes the source partitions before it has sought their committed offsets.
    Events that are fetched in between are dropped when the flow resumes, and the gap that this
    leaves is committed over: events are lost.
    """
    app.consumer.stop_flow()
    app.flow_control.suspend()


class _Tables(TableManager):
    async def on_start(self) -> None:
        """Start recovery at once.

        Faust waits a second for tables that are still to be declared, which a restart has not.
        """
        await self._update_channels()
        await self.recovery.start()


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    logger = driver.logger

    async def on_start(self) -> None:
        """Attach the lease to the group's heartbeats.

        Rule 12. Without a lease a worker that was frozen writes over the one that has its sites
        now.
        """
        await super().on_start()
        transport, consumer = cast(_Transport, self.transport), cast(Any, self._consumer)
        transport.lease.follow(consumer._coordinator)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek partitions without a committed offset to their beginning.

        Rule 13. Fetched events are dropped at a rebalance and fetched again, but Faust seeks only
        partitions with a committed offset: one without would go on behind the dropped events, and
        its first commit would cover the gap.
        """
        committed = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics
        new = [tp for tp, offset in committed.items() if not offset and tp.topic not in changelogs]
        if new:
            await self.seek_to_beginning(*new)
        return committed

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        """Make a consumer that reads committed records only, otherwise as the driver does.

        Rule 10. At at_least_once Faust reads uncommitted, so it would take records of
        transactions that were aborted.
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
        """Add a gap without the record behind it.

        Rule 11. Transactions leave gaps in the offsets (their markers), and Faust counts the
        record after the gap as part of it: every gap holds the commit back by one interval, and
        under load it falls behind for ever.
        """
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def _to_message(self, tp: TP, record: Any) -> Any:
        """Add the gap behind a partition's first record.

        Rule 11. Faust takes the offset 0 for none and does not notice that gap; then nothing is
        committed any more.
        """
        if self._read_offset[tp] == 0 and record.offset > 1:
            self._gap[tp].addi(1, record.offset)
        return super()._to_message(tp, record)


class _Transport(driver.Transport):
    Consumer = _Consumer
    lease: Lease


class StateTable:
    """Faust table whose changes are in Kafka when a call returns.

    Rule 4. `table[key] = value` puts the change into a buffer that is never awaited, so that an
    offset can be committed whose state is lost. Here the changelog is written first.
    """

    def __init__(self, app: faust.App, writer: Writer, name: str, partitions: int) -> None:
        self._writer = writer
        table = app.Table(name, key_type=bytes, value_type=bytes, partitions=partitions)
        self._table: Any = table  # its store is part of no interface

    async def store(self, partition: int, entries: list[tuple[bytes, bytes | None]]) -> None:
        """Write entries of a source partition, all or none; the value None deletes."""
        await self._writer.store(self._table.changelog_topic_name, partition, entries)
        store = self._table.data
        for key, value in entries:
            if value is None:
                store.data.pop(key, None)
                store._key_partition.pop(key, None)
            else:
                store.data[key] = value
                # Faust notes the partition of recovered keys alone. A key written here would
                # outlive the loss of its partition, and be stale when the partition returns.
                store._key_partition[key] = partition

    def by_partition(
        self, entries: list[tuple[bytes, bytes | None]]
    ) -> dict[int, list[tuple[bytes, bytes | None]]]:
        """Group the entries whose keys are in the table by their source partition."""
        grouped: dict[int, list[tuple[bytes, bytes | None]]] = {}
        for key, value in entries:
            partition = self._table.data._key_partition.get(key)
            if partition is not None:
                grouped.setdefault(partition, []).append((key, value))
        return grouped

    def entries(self) -> list[tuple[bytes, bytes]]:
        """Return all keys and values."""
        return list(self._table.data.data.items())


def committed_offset(app: faust.App, topic: str, partition: int) -> int:
    """Return the committed offset of a partition: records from it on may come again."""
    consumer: Any = app.consumer
    return int(consumer._committed_offset[TP(topic, partition)] or 0)


def end_process(status: int) -> NoReturn:
    """End the process without an orderly stop.

    Rule 2. An event that could not be processed must not be acknowledged, and an orderly stop
    would wait for just that.
    """
    os._exit(status)
