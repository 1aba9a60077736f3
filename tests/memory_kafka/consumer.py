"""A consumer of the broker in memory, with the interface of confluent-kafka's."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    TIMESTAMP_CREATE_TIME,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from sightline.streaming.clients import ClientConfig, RebalanceCallback
from sightline.streaming.records import Partition
from tests.memory_kafka.client import Client, Process, place_of
from tests.memory_kafka.errors import failure, kafka_error
from tests.memory_kafka.group import Group, Member
from tests.memory_kafka.log import Entry


class GroupMembership(NamedTuple):
    """A consumer's membership, as a transaction's offsets are checked against it."""

    group: str
    member: str
    generation: int


@dataclass
class Fetch:
    """The state of one partition that a consumer reads."""

    start: int
    position: int
    has_read: bool = False
    end_told: int = -1
    is_paused: bool = False


class MemoryConsumer(Client):
    """A consumer."""

    def __init__(self, process: Process, config: ClientConfig) -> None:
        super().__init__(process)
        if "group.instance.id" in config:
            raise NotImplementedError("the broker in memory has no static members")
        self._group_id = str(config["group.id"])
        self._read_committed = config.get("isolation.level", "read_committed") == "read_committed"
        self._tells_end = bool(config.get("enable.partition.eof", False))
        self._reset = OFFSET_END
        if config.get("auto.offset.reset") == "earliest":
            self._reset = OFFSET_BEGINNING
        self._member: Member | None = None
        self._callbacks: tuple[RebalanceCallback | None, ...] = (None, None, None)
        self._fetches: dict[Partition, Fetch] = {}
        self._owned: list[Partition] = []
        self._is_closed = False

    @property
    def _group(self) -> Group:
        return self._broker.groups[self._group_id]

    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback | None = None,
        on_revoke: RebalanceCallback | None = None,
        on_lost: RebalanceCallback | None = None,
    ) -> None:
        self._callbacks = (on_assign, on_revoke, on_lost)
        self._new_member(topics)

    def _new_member(self, topics: list[str]) -> None:
        name = f"member-{self._broker.new_id():04}"
        self._member = Member(name, topics, lambda: self._process.is_alive)
        with self._broker.lock:
            self._group.add(self._member)

    def poll(self, timeout: float = -1) -> Message | None:
        messages = self.consume(1, timeout)
        return messages[0] if messages else None

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        if not self._process.is_alive:
            raise failure(KafkaError._DESTROY)
        if self._member is not None:
            self._broker.begin_poll()
        has_rebalanced = self._rebalance()
        messages: list[Message] = []
        while len(messages) < num_messages:
            with self._broker.lock:
                message = self._next() if self._broker.is_reachable else None
            if message is None:
                break
            messages.append(message)
        if not messages and not has_rebalanced:
            self._broker.idle(timeout)
        return messages

    def _rebalance(self) -> bool:
        """Go through the steps of a rebalance that this member can take; return if there were."""
        has_rebalanced = False
        while self._member is not None and self._broker.is_reachable:
            member, (on_assign, on_revoke, on_lost) = self._member, self._callbacks
            with self._broker.lock:
                is_member = member.id in self._group.members
                has_joined = member.has_joined
                is_new = member.generation != self._group.generation and self._group.is_stable
                share = list(member.share)
            if not is_member:
                self._give_back(on_lost or on_revoke)
                self._new_member(member.topics)
            elif not has_joined:
                self._give_back(on_revoke)
                with self._broker.lock:
                    self._group.join(member, self._broker.topics)
            elif is_new:
                member.generation = self._group.generation
                self._owned = share
                partitions = [TopicPartition(*partition) for partition in share]
                if on_assign is None:
                    self.assign(partitions)
                else:
                    on_assign(self, partitions)
            else:
                break
            has_rebalanced = True
        return has_rebalanced

    def _give_back(self, callback: RebalanceCallback | None) -> None:
        owned, self._owned = self._owned, []
        if owned and callback is not None:
            callback(self, [TopicPartition(*partition) for partition in owned])
        self._fetches = {}

    def _next(self) -> Message | None:
        for partition, fetch in list(self._fetches.items()):
            if fetch.is_paused or partition[0] not in self._broker.topics:
                continue
            log = self._broker.log(partition)
            if not log.low <= fetch.position <= log.high:
                fetch.position = self._reset_offset(partition)
            entry = log.next_visible(fetch.position, read_committed=self._read_committed)
            if entry is not None:
                fetch.position, fetch.has_read = entry.offset + 1, True
                # The next poll begins with another partition.
                self._fetches[partition] = self._fetches.pop(partition)
                return _message(partition, entry)
            end = log.end(read_committed=self._read_committed)
            if self._tells_end and fetch.end_told != end:
                fetch.position, fetch.has_read, fetch.end_told = end, True, end
                error = kafka_error(KafkaError._PARTITION_EOF)
                topic, number = partition
                return Message(topic=topic, partition=number, offset=end, error=error)
        return None

    def assign(self, partitions: list[TopicPartition]) -> None:
        committed: dict[Partition, int] = {}
        if any(part.offset == OFFSET_INVALID for part in partitions):
            committed = self._broker.committed(self._group_id, list(map(place_of, partitions)))
        self._fetches = {}
        for part in partitions:
            partition, offset = place_of(part), part.offset
            if offset == OFFSET_INVALID:
                offset = committed.get(partition, self._reset)
            position = offset if offset >= 0 else self._reset_offset(partition, offset)
            self._fetches[partition] = Fetch(part.offset, position)

    def _reset_offset(self, partition: Partition, rule: int | None = None) -> int:
        log = self._broker.log(partition)
        is_beginning = (self._reset if rule is None else rule) == OFFSET_BEGINNING
        return log.low if is_beginning else log.end(read_committed=self._read_committed)

    def unassign(self) -> None:
        self._fetches = {}

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*part, self._fetches[part].start) for part in sorted(self._fetches)]

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        fetches = [(part, self._fetches.get(place_of(part))) for part in partitions]
        return [
            TopicPartition(
                part.topic,
                part.partition,
                fetch.position if fetch is not None and fetch.has_read else OFFSET_INVALID,
            )
            for part, fetch in fetches
        ]

    def seek(self, partition: TopicPartition) -> None:
        fetch = self._fetches.get(place_of(partition))
        if fetch is None:
            raise failure(KafkaError._STATE)
        fetch.position, fetch.end_told = partition.offset, -1

    def pause(self, partitions: list[TopicPartition]) -> None:
        for part in partitions:
            self._fetches[place_of(part)].is_paused = True

    def resume(self, partitions: list[TopicPartition]) -> None:
        for part in partitions:
            self._fetches[place_of(part)].is_paused = False

    def committed(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        self._begin("committed")
        offsets = self._broker.committed(self._group_id, list(map(place_of, partitions)))
        return [
            TopicPartition(part.topic, part.partition, offsets.get(place_of(part), OFFSET_INVALID))
            for part in partitions
        ]

    @overload
    def commit(
        self, *, offsets: list[TopicPartition], asynchronous: Literal[True] = ...
    ) -> None: ...

    @overload
    def commit(
        self, *, offsets: list[TopicPartition], asynchronous: Literal[False]
    ) -> list[TopicPartition]: ...

    def commit(
        self, *, offsets: list[TopicPartition], asynchronous: bool = True
    ) -> list[TopicPartition] | None:
        try:
            self._begin("commit")
            membership = self.consumer_group_metadata()
            with self._broker.lock:
                self._group.check(membership.member, membership.generation)
                self._group.offsets |= {place_of(part): part.offset for part in offsets}
        except KafkaException:
            if not asynchronous:
                raise
        return None if asynchronous else offsets

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        if not cached:
            self._begin("get_watermark_offsets")
        with self._broker.lock:
            log = self._broker.log(place_of(partition))
            if cached:
                return log.low, log.high
            return log.low, log.end(read_committed=self._read_committed)

    def offsets_for_times(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        self._begin("offsets_for_times")
        answers = []
        for part in partitions:
            log = self._broker.log(place_of(part))
            offsets = (
                entry.offset
                for entry in log.entries
                if entry.timestamp_ms >= part.offset and not entry.is_marker
            )
            answers.append(TopicPartition(part.topic, part.partition, next(offsets, OFFSET_END)))
        return answers

    def consumer_group_metadata(self) -> GroupMembership:
        if self._member is None:
            return GroupMembership(self._group_id, "", -1)
        return GroupMembership(self._group_id, self._member.id, self._member.generation)

    def memberid(self) -> str:
        return self.consumer_group_metadata().member

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if not self._process.is_alive:
            return
        member, self._member = self._member, None
        if member is not None:
            with self._broker.lock:
                is_member = member.id in self._group.members
            _assign, on_revoke, on_lost = self._callbacks
            self._give_back(on_revoke if is_member else on_lost or on_revoke)
            with self._broker.lock:
                self._group.remove(member, self._broker.topics)


def _message(partition: Partition, entry: Entry) -> Message:
    return Message(
        topic=partition[0],
        partition=partition[1],
        offset=entry.offset,
        key=entry.key,
        value=entry.value,
        headers=list(entry.headers) or None,
        timestamp=(TIMESTAMP_CREATE_TIME, entry.timestamp_ms),
    )
