"""Dead letters: records that could not be processed, listed, replayed or dropped.

A dead letter's id is its position in its topic. Its fate is a row of `dead_letter_fates`.
"""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from google.protobuf.message import DecodeError

from schemas import sightline_pb2 as pb
from schemas.naming import AdvisoryLock, client_id
from schemas.topics import DEAD_LETTERS, LIVE
from sightline.runtime.errors import (
    ConflictError,
    InfrastructureError,
    NotFoundError,
    SightlineError,
)
from sightline.runtime.headers import Headers
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.streaming import topic_reader
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import RETRY_FOR, RETRY_OF, OutputRecord, Record

_ID = re.compile(r"(\d{1,9})@(\d{1,18})")
_DELIVERY_SECONDS = 30.0

Decision = Literal["replayed", "dropped"]


@dataclass(frozen=True, slots=True, order=True)
class DeadLetterId:
    """A dead letter's position: partition and offset in its topic."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "DeadLetterId":
        """Parse an id as `str` writes it. Raises SightlineError."""
        match = _ID.fullmatch(text)
        if match is None:
            raise SightlineError(f"{text[:80]} is no dead letter: give an id as in `dlq list`")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetterFate:
    """The decision about a dead letter."""

    decision: str  # replayed or dropped
    made_by: str | None
    made_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """A dead letter; an unreadable one has no source."""

    id: DeadLetterId
    message: pb.DeadLetter
    fate: DeadLetterFate | None = None

    @property
    def run(self) -> str:
        """The run whose service could not process the record."""
        return self.message.run or LIVE


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """A selection of dead letters: by id, else all of a service or a reason."""

    ids: frozenset[DeadLetterId] = frozenset()
    service: str | None = None
    reason: str | None = None

    def __contains__(self, letter: DeadLetterEntry) -> bool:
        message = letter.message
        return (
            (not self.ids or letter.id in self.ids)
            and self.service in (None, message.service)
            and self.reason in (None, message.reason)
        )


def read_dead_letters(settings: Settings, choice: DeadLetterFilter) -> Iterator[DeadLetterEntry]:
    """Yield the selected dead letters that exist at the call, oldest first, with their fates.

    Raises InfrastructureError.
    """
    with closing(connect(settings)) as db:
        fates = _fates(db)
    retained = _retained(settings)
    starts = {number: low for number, (low, _end) in retained.items()}
    for record in topic_reader.records_from(settings, DEAD_LETTERS.name, starts):
        # A replayed record may fail again, and its new dead letter arrives during the reading.
        if record.offset < retained[record.partition][1]:
            letter = _letter(record, fates)
            if letter in choice:
                yield letter


def find_dead_letter(settings: Settings, letter_id: DeadLetterId) -> DeadLetterEntry:
    """Return a dead letter. Raises NotFoundError for an id that is not, or no longer, retained."""
    low, high = _retained(settings).get(letter_id.partition, (0, 0))
    if low <= letter_id.offset < high:
        first = topic_reader.first_from(
            settings, DEAD_LETTERS.name, letter_id.partition, letter_id.offset
        )
        if first is not None and first.offset == letter_id.offset:
            with closing(connect(settings)) as db:
                return _letter(first, _fates(db))
    raise NotFoundError(f"there is no dead letter {letter_id}: see `sightline dlq list --decided`")


def replay_dead_letters(
    settings: Settings, choice: DeadLetterFilter, made_by: str
) -> Iterator[DeadLetterId]:
    """Produce records to their source partitions again, for the service that failed alone.

    Each is delivered before its fate is written; the services process a record that arrives twice
    once. Raises NotFoundError for an unknown id, ConflictError for a dead letter that has a fate
    or belongs to a run, InfrastructureError when Kafka does not take a record: the dead letters
    before it have been replayed.
    """
    producer = CheckedProducer(producer_config(settings, client_id("dlq")))
    with _deciding(settings) as db:
        for letter in _undecided(settings, choice):
            reason = _obstacle(letter)
            if reason and choice.ids:
                raise ConflictError(reason)
            if reason:
                continue
            producer.send(replay_record(letter.message))
            try:
                producer.flush(_DELIVERY_SECONDS)
            except InfrastructureError as error:
                raise InfrastructureError(f"letter {letter.id}: {error}") from error
            _decide(db, letter.id, "replayed", made_by)
            yield letter.id


def drop_dead_letters(
    settings: Settings, choice: DeadLetterFilter, made_by: str
) -> Iterator[DeadLetterId]:
    """Drop dead letters: they are listed no more. Raises as `replay_dead_letters` does."""
    with _deciding(settings) as db:
        for letter in _undecided(settings, choice):
            _decide(db, letter.id, "dropped", made_by)
            yield letter.id


def replay_record(letter: pb.DeadLetter) -> OutputRecord:
    """Return the record of a dead letter for its source partition and the service that failed."""
    original = [(header.key, header.value) for header in letter.headers]
    headers: Headers = tuple(
        header for header in original if header[0] not in (RETRY_FOR, RETRY_OF)
    )
    headers += ((RETRY_FOR, letter.service.encode()),)
    if letter.stack:  # earlier versions kept no note of records that they gave up
        first = next((value for key, value in original if key == RETRY_OF), None)
        headers += ((RETRY_OF, first or str(letter.source.offset).encode()),)
    return OutputRecord(
        letter.source.topic,
        letter.key.decode(errors="surrogateescape"),
        letter.value,
        letter.timestamp_ms or letter.failed_at_us // 1000,
        letter.source.partition,
        headers,
    )


def _obstacle(letter: DeadLetterEntry) -> str | None:
    """Return the reason why a dead letter cannot be replayed; None if it can."""
    if letter.run != LIVE:
        return f"letter {letter.id} is of the run {letter.run}: delete the run and make it again"
    if not letter.message.source.topic:
        return f"letter {letter.id} cannot be read, and does not say where it came from"
    return None


def _letter(record: Record, fates: dict[DeadLetterId, DeadLetterFate]) -> DeadLetterEntry:
    letter_id = DeadLetterId(record.partition, record.offset)
    try:
        message = pb.DeadLetter.FromString(record.value or b"")
    except DecodeError as error:
        message = pb.DeadLetter(
            value=record.value or b"",
            reason="no_letter",
            detail=str(error),
            failed_at_us=record.timestamp_ms * 1000,
        )
    return DeadLetterEntry(letter_id, message, fates.get(letter_id))


def _retained(settings: Settings) -> dict[int, tuple[int, int]]:
    return topic_reader.fetch_watermarks(settings, DEAD_LETTERS.name)


def _undecided(settings: Settings, choice: DeadLetterFilter) -> Iterator[DeadLetterEntry]:
    """Yield the selected dead letters without a fate.

    Raises ConflictError for an id whose dead letter has one.
    """
    named = [find_dead_letter(settings, letter_id) for letter_id in sorted(choice.ids)]
    for letter in named:
        if letter.fate:
            raise ConflictError(f"letter {letter.id} was {letter.fate.decision} before")
    for letter in named or read_dead_letters(settings, choice):
        if letter in choice and not letter.fate:
            yield letter


@contextmanager
def _deciding(settings: Settings) -> Iterator[Connection]:
    """Open an autocommit connection that holds the lock of decisions about dead letters."""
    with closing(connect(settings, autocommit=True)) as db:
        db.execute("SELECT pg_advisory_lock(%s)", (AdvisoryLock.DEAD_LETTERS,))
        yield db


def _decide(db: Connection, letter_id: DeadLetterId, decision: Decision, made_by: str) -> None:
    db.execute(
        "INSERT INTO dead_letter_fates (letter_partition, letter_offset, fate, made_by)"
        " VALUES (%s, %s, %s, %s)",
        (letter_id.partition, letter_id.offset, decision, made_by),
    )


def _fates(db: Connection) -> dict[DeadLetterId, DeadLetterFate]:
    rows = db.execute(
        "SELECT letter_partition, letter_offset, fate, made_by, made_at FROM dead_letter_fates"
    )
    return {
        DeadLetterId(partition, offset): DeadLetterFate(*fate) for partition, offset, *fate in rows
    }
