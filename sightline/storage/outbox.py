"""Transactional outbox: records that a transaction publishes, delivered after its commit.

Rows of a key are in the order of their commits, because a transaction that writes one has locked
the row that the key names. One relay at a time delivers them in order of id, and deletes a row
only after Kafka has acknowledged its record: a crash in between delivers a record twice and never
loses it.
"""

import logging
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime

from schemas.naming import AdvisoryLock, client_id, outbox_context
from schemas.topics import GALLERY
from sightline.runtime.clock import to_us
from sightline.runtime.health import DATABASE
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor, connect, encryption_of, translated_failures
from sightline.storage.encryption import TamperedError
from sightline.streaming.broker_probe import BrokerProbe
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord

log = logging.getLogger(__name__)

_CHANNEL = "sightline_outbox"

_BATCH_ROWS = 200
_DELIVERY_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.5


def enqueue(cursor: Cursor, topic: str, key: str, value: bytes | None) -> None:
    """Publish a record once the cursor's transaction has committed; value None is a tombstone."""
    enqueue_all(cursor, topic, [(key, value)])


def enqueue_all(cursor: Cursor, topic: str, records: Iterable[tuple[str, bytes | None]]) -> None:
    """Publish records (key, value) of a topic, in this order, as `enqueue` does."""
    encryption = encryption_of(cursor)
    rows = [
        (
            key.encode(),
            value if value is None else encryption.encrypt(value, outbox_context(topic, key)),
        )
        for key, value in records
    ]
    if rows:
        cursor.execute(
            "INSERT INTO outbox (topic, key, value) SELECT %s, key, value"
            " FROM unnest(%b::bytea[], %b::bytea[]) WITH ORDINALITY AS record(key, value, number)"
            " ORDER BY number",
            (topic, [key for key, _value in rows], [value for _key, value in rows]),
        )
        cursor.execute(f"NOTIFY {_CHANNEL}")


class OutboxRelay:
    """Delivers the records of the outbox."""

    def __init__(self, settings: Settings) -> None:
        self._db: Connection = connect(settings, autocommit=True)
        config = producer_config(settings, client_id("outbox")) | {
            "linger.ms": 0,
            "delivery.timeout.ms": int(_DELIVERY_TIMEOUT_SECONDS * 1000),
        }
        self._producer = CheckedProducer(config)
        self._refused: list[int] = []
        """Ids of rows that cannot be decrypted: they stay, and do not block later rows."""

    def drain(self) -> int:
        """Deliver all records; return their number.

        Raises InfrastructureError when Kafka fails, and UnreachableError, an InfrastructureError,
        when the database does; records that were not delivered stay.
        """
        total = 0
        with translated_failures():
            while sent := self._deliver_some():
                total += sent
        return total

    def _deliver_some(self) -> int:
        with self._db.transaction(), self._db.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (AdvisoryLock.OUTBOX,))
            cursor.execute(
                "SELECT id, topic, key, value, created_at FROM outbox WHERE id <> ALL(%s)"
                " ORDER BY id LIMIT %s",
                (self._refused, _BATCH_ROWS),
            )
            rows = cursor.fetchall()
            sent = [row[0] for row in rows if self._send(cursor, *row)]
            self._producer.flush(_DELIVERY_TIMEOUT_SECONDS)
            cursor.execute("DELETE FROM outbox WHERE id = ANY(%s)", (sent,))
        return len(rows)

    def _send(
        self, cursor: Cursor, row: int, topic: str, key: bytes, value: bytes | None, at: datetime
    ) -> bool:
        name = key.decode()
        try:
            if value is not None:
                value = encryption_of(cursor).decrypt(value, outbox_context(topic, name))
        except TamperedError as error:
            log.warning("outbox: row %d stays: %s", row, error)
            self._refused.append(row)
            return False
        self._producer.send(OutputRecord(topic, name, value, to_us(at) // 1000))
        return True

    def run(self, stop: Stop) -> None:
        """Deliver records until `stop`. Raises as `drain` does."""
        with translated_failures():
            self._db.execute(f"LISTEN {_CHANNEL}")
        stop.health.mark_available(DATABASE)
        stop.health.mark_ready()
        reached = BrokerProbe(self._producer.raw, GALLERY.name, stop.health)
        while not stop.is_set():
            stop.beat()
            if sent := self.drain():
                log.info("outbox: %d records delivered", sent)
            reached.note_records(sent)
            self._wait()

    def _wait(self) -> None:
        """Wait for a notification, or for the poll interval: a notification can be missed."""
        with translated_failures():
            for _ in self._db.notifies(timeout=_POLL_SECONDS, stop_after=1):
                return

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def deliver(settings: Settings) -> None:
    """Deliver all records of the outbox now.

    Raises InfrastructureError when Kafka does not take them: then the service `outbox` will.
    """
    with closing(OutboxRelay(settings)) as relay:
        relay.drain()
