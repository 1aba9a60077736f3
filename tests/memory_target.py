"""A sink's target in memory, and a sink that writes to it: no PostgreSQL is needed for the loop."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.streaming.records import Partition, Record
from sinks.runtime.offsets import end_offsets, past
from sinks.runtime.sink import DecodedRecord


class AwayError(Exception):
    """The target does not answer."""


class RefusedError(Exception):
    """The target does not take a row."""


@dataclass
class Contents:
    """Contents that are committed; a transaction writes to a copy of them."""

    rows: Counter[str] = field(default_factory=Counter)
    """The number of times that each id was written."""
    offsets: dict[Partition, int] = field(default_factory=dict)
    dead_letters: dict[tuple[Partition, int], bool] = field(default_factory=dict)
    """True once the retry of a dead letter was claimed, by its original position."""


class MemoryTransaction:
    """An open transaction; every step asks the target whether it is still there."""

    def __init__(self, target: "MemoryTarget") -> None:
        self._target = target
        self.cursor = deepcopy(target.contents)
        self.has_records = False

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        before = deepcopy(self.cursor)
        try:
            self._target.begin("write")
            yield
        except BaseException:
            self.cursor.rows = before.rows
            raise

    def next_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        self._target.begin("next_offsets")
        return {part: self.cursor.offsets.setdefault(part, 0) for part in partitions}

    def unwritten(self, records: Sequence[Record]) -> list[Record]:
        self._target.begin("unwritten", records)
        self.cursor = deepcopy(self._target.contents)  # a lock waits for other writers
        self.has_records = bool(records)
        return past(self.cursor.offsets, records)

    def save_offsets(self, records: Sequence[Record]) -> None:
        self._target.begin("save_offsets", records)
        self.cursor.offsets |= end_offsets(records)

    def reset(self, partition: Partition) -> None:
        self.cursor.offsets[partition] = 0

    def note_dead_letter(self, record: Record) -> None:
        self.cursor.dead_letters[_origin(record)] = False

    def claim_retry(self, record: Record) -> bool:
        is_claimed = self.cursor.dead_letters.get(_origin(record), True)
        self.cursor.dead_letters[_origin(record)] = True
        return not is_claimed


@dataclass
class MemorySession:
    connection: "MemoryTarget"

    @contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        target = self.connection
        transaction = MemoryTransaction(target)
        yield transaction
        target.begin("commit", transaction.has_records)
        target.contents = transaction.cursor
        target.begin("committed", transaction.has_records)


class MemoryTarget:
    """The target; `before` runs an action at the next step of a kind that has work in hand."""

    name = "memory"
    unavailable: tuple[type[Exception], ...] = (AwayError,)
    refusals: tuple[type[Exception], ...] = (PoisonRecord, RefusedError)

    def __init__(self) -> None:
        self.contents = Contents()
        self.is_away = False
        self.connections = 0
        self._before: dict[str, deque[Callable[[], object]]] = defaultdict(deque)

    def before(self, step: str, *actions: Callable[[], object]) -> None:
        self._before[step] += actions

    def begin(self, step: str, work: object = True) -> None:
        if work and self._before[step]:
            self._before[step].popleft()()
        if self.is_away:
            raise AwayError(f"away at {step}")

    @contextmanager
    def connect(self) -> Iterator[MemorySession]:
        self.connections += 1
        self.begin("connect")
        yield MemorySession(self)

    def as_invalid(self, refusal: Exception) -> PoisonRecord:
        return refusal if isinstance(refusal, PoisonRecord) else PoisonRecord("row", "refused")


class MemorySink:
    """Counts how often each template id is written; some templates are refused."""

    batch_seconds = 0.3

    def __init__(self, topic: str, target: MemoryTarget) -> None:
        self.name = "test-sink"
        self.topics: Mapping[str, type[Message]] = {topic: pb.Template}
        self.batches: list[list[str]] = []
        self._target = target

    def target(self, _settings: Settings) -> MemoryTarget:
        return self._target

    def write(self, cursor: Contents, batch: Sequence[DecodedRecord]) -> None:
        messages = [decoded.message for decoded in batch]
        templates = [message for message in messages if isinstance(message, pb.Template)]
        self.batches.append([template.template_id for template in templates])
        for template in templates:
            if template.pack == "invalid":
                raise PoisonRecord("invalid", "as the test wants it")
            if template.pack == "refused":
                raise RefusedError
            cursor.rows[template.template_id] += 1

    def idle(self, cursor: Contents) -> None:
        pass

    def maintain(self, connection: MemoryTarget) -> bool:
        return False


def _origin(record: Record) -> tuple[Partition, int]:
    offset = record.offset if record.retry_of is None else record.retry_of
    return record.topic_partition, offset
