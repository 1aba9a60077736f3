"""Support of the unit tests of both loops: processes on a broker in memory, killed at a place."""

from collections.abc import Callable

from schemas import sightline_pb2 as pb
from schemas.topics import DEAD_LETTERS
from sightline.runtime.fault_injection import FaultPoint
from tests.memory_kafka.broker import MemoryBroker
from tests.memory_kafka.clients import MemoryClients


class CrashError(BaseException):
    """The process was killed: no handler of its own has run with any effect."""


def dies(process: MemoryClients) -> Callable[[], None]:
    """Return an action that kills a process."""

    def die() -> None:
        process.kill()
        raise CrashError

    return die


def dies_at(place: FaultPoint, process: MemoryClients) -> Callable[[FaultPoint], None]:
    """Return a stand-in for `fault_injection.fault_point` that kills a process at a place."""

    def reach(reached: FaultPoint) -> None:
        if reached == place:
            dies(process)()

    return reach


def new_broker(**partitions: int) -> MemoryBroker:
    """Return a broker with topics, `_` in their names for `-`, and that of the dead letters."""
    broker = MemoryBroker()
    broker.create_topic(DEAD_LETTERS.name)
    for name, count in partitions.items():
        broker.create_topic(name.replace("_", "-"), count)
    return broker


def dead_letters(broker: MemoryBroker) -> list[tuple[int, str]]:
    """Return the offset and the reason of every dead letter."""
    letters = [pb.DeadLetter.FromString(value or b"") for value in broker.values("dead-letters")]
    return [(letter.source.offset, letter.reason) for letter in letters]
