"""Consumer groups with eager rebalances."""

from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError

from sightline.streaming.records import Partition
from tests.memory_kafka.errors import failure
from tests.memory_kafka.log import PartitionLog


@dataclass(eq=False)
class Member:
    """A member of a group; its client's process may be dead already."""

    id: str
    topics: list[str]
    is_alive: Callable[[], bool]
    generation: int = -1
    has_joined: bool = False
    share: list[Partition] = field(default_factory=list)


class Group:
    """A consumer group with eager rebalances and the round-robin assignor."""

    def __init__(self) -> None:
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.offsets: dict[Partition, int] = {}

    @property
    def is_stable(self) -> bool:
        return all(member.has_joined for member in self.members.values())

    def rebalance(self) -> None:
        """Make every member give its partitions back and join again."""
        for member in self.members.values():
            member.has_joined = False

    def add(self, member: Member) -> None:
        self.rebalance()
        self.members[member.id] = member

    def remove(self, member: Member, topics: dict[str, list[PartitionLog]]) -> None:
        if self.members.pop(member.id, None) is not None:
            self.rebalance()
            self.assign_if_complete(topics)

    def join(self, member: Member, topics: dict[str, list[PartitionLog]]) -> None:
        member.has_joined = True
        self.assign_if_complete(topics)

    def assign_if_complete(self, topics: dict[str, list[PartitionLog]]) -> None:
        if not self.members or not self.is_stable:
            return
        self.generation += 1
        members = [self.members[name] for name in sorted(self.members)]
        for member in members:
            member.share = []
        names = sorted({name for member in members for name in member.topics})
        partitions = [(name, number) for name in names for number in range(len(topics[name]))]
        for rank, partition in enumerate(partitions):
            members[rank % len(members)].share.append(partition)

    def check(self, member_id: str, generation: int) -> None:
        """Raise the broker's error for offsets of a member that the group went on without."""
        if generation >= 0 and member_id not in self.members:
            raise failure(KafkaError.UNKNOWN_MEMBER_ID)
        if generation not in (-1, self.generation):
            raise failure(KafkaError.ILLEGAL_GENERATION)
