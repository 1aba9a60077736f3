"""The registry of every topic: the one place that says what a topic holds and how it is kept."""

from dataclasses import dataclass, field, replace

KIB = 1024
MIB = 1024 * KIB
DAY_MS = 24 * 3_600_000

COMPACTED_WITHIN_MS = DAY_MS
"""How long a record that a later one of its key has replaced lies in a compacted topic."""

MAX_RECORD_BYTES = 8 * MIB
"""Largest record any topic takes; the broker's limit is set to it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: what its key is, how it is spread and how long it is kept."""

    name: str
    key: str
    partitions: int
    retention_bytes: int = 512 * MIB  # of one partition; -1: no limit
    retention_ms: int = -1
    """-1: bytes alone. Kafka goes by the record's time, which is the capture time: with a limit
    in days the broker would delete an old film while it is being read."""
    compacted: bool = False
    max_record_bytes: int = 1 * MIB
    precious: bool = True
    """Cannot be made again: with three brokers it wants two of them to have a record."""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it is one of: the same for the frames of all fleets, the tracks of all runs."""
        return self.name.partition(".")[0].replace("-", "_")

    def config(self) -> dict[str, str]:
        """The topic's settings in Kafka's words."""
        settings = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "max.message.bytes": str(self.max_record_bytes),
            # What is in the newest segment is never deleted, however small the limit.
            "segment.ms": str(DAY_MS),
            "segment.bytes": str(self._segment_bytes()),
            # A record's time is its capture time. A film read faster than it was taken, or a
            # camera's wrong clock, is ahead of the broker's, which refuses it after an hour.
            "message.timestamp.after.max.ms": str(2**63 - 1),
        }
        if self.compacted:
            settings |= {
                "min.cleanable.dirty.ratio": "0.1",
                "delete.retention.ms": str(DAY_MS),
                # What was replaced goes within a day, however little of a topic that is: faces
                # of people who were erased.
                "max.compaction.lag.ms": str(COMPACTED_WITHIN_MS),
            }
        else:
            settings |= {
                "retention.ms": str(self.retention_ms),
                "retention.bytes": str(self.retention_bytes),
            }
        return settings | self.extra

    def _segment_bytes(self) -> int:
        if self.compacted:
            return 64 * MIB
        if self.retention_bytes < 0:
            return 256 * MIB
        return min(256 * MIB, max(self.retention_bytes // 4, MIB))


MOTION_EVENTS = Topic("motion-events", key="camera id", partitions=4)
TRACKS = Topic("tracks", key="camera id", partitions=4, precious=False)
FACES = Topic("faces", key="site id", partitions=4)
SNAPSHOTS = Topic("snapshots", key="track id", partitions=4, max_record_bytes=2 * MIB)
GALLERY = Topic("gallery", key="person id", partitions=1, compacted=True)
FACTS = Topic(
    "facts",
    key="what it is about",
    partitions=1,
    compacted=True,
    max_record_bytes=MAX_RECORD_BYTES,  # all tracks of somebody who is erased are one record
)
SIGHTINGS = Topic("sightings", key="site id", partitions=4)
DEAD_LETTERS = Topic(
    "dead-letters",
    key="source topic",
    partitions=1,
    retention_ms=30 * DAY_MS,
    max_record_bytes=MAX_RECORD_BYTES,
)
MATCH_STATE = Topic(
    "sightline-match-state-changelog",  # Faust's name: <app>-<table>-changelog
    key="site id and track or person",
    partitions=FACES.partitions,  # a table lives where its stream's partition lives
    compacted=True,
    max_record_bytes=MAX_RECORD_BYTES,  # of a batch: all changes of an event are one
)

DEFAULT_FLEET = "default"


def frames(fleet: str = DEFAULT_FLEET) -> Topic:
    """The topic of a fleet's frames.

    Twelve partitions: a fleet's pool can grow to twelve workers without moving a camera.
    """
    return Topic(
        f"frames.{fleet}",
        key="camera id",
        partitions=12,
        retention_bytes=1024 * MIB,
        max_record_bytes=MAX_RECORD_BYTES - 64 * KIB,  # a dead letter wraps the record
        precious=False,
    )


def vision_state(fleet: str = DEFAULT_FLEET) -> Topic:
    """The topic of what a fleet's vision workers know: a partition for each of its frames'."""
    return Topic(
        f"vision-state.{fleet}",
        key="camera id",
        partitions=frames(fleet).partitions,
        compacted=True,
        # Written ten times a second, read at every take-over: compacted soon and in small pieces.
        extra={"segment.bytes": str(4 * MIB), "segment.ms": str(10 * 60_000)},
    )


LIVE = "live"
"""The run that is the pass over the frames as they arrive."""

OF_A_RUN = (TRACKS, FACES, SNAPSHOTS, SIGHTINGS)
"""What every run has of its own."""

RUN_SUFFIX = ".run-"
"""Between the live name of a topic or consumer group and the name of the run that has its own."""


def in_run(name: str, run: str) -> str:
    """Return the name that a topic or consumer group has in a run, from its live one."""
    return name if run == LIVE else f"{name}{RUN_SUFFIX}{run}"


def of_run(topic: Topic, run: str) -> Topic:
    """The topic as a run has it: the live one itself, or one of its own."""
    return topic if run == LIVE else replace(topic, name=in_run(topic.name, run), precious=False)


def all_topics(fleets: tuple[str, ...] = (DEFAULT_FLEET,)) -> list[Topic]:
    """Every topic of an installation with these fleets."""
    return [
        *(frames(fleet) for fleet in fleets),
        *(vision_state(fleet) for fleet in fleets),
        MOTION_EVENTS,
        TRACKS,
        FACES,
        SNAPSHOTS,
        GALLERY,
        FACTS,
        SIGHTINGS,
        DEAD_LETTERS,
        MATCH_STATE,
    ]
