"""Registry of all topics: keys, partitions, retention and configuration."""

from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB
DAY_MS = 24 * 3_600_000

MAX_COMPACTION_LAG_MS = DAY_MS
"""Longest time that a replaced record stays in a compacted topic."""

MAX_RECORD_BYTES = 8 * MIB
"""Largest record of any topic; the broker's limit is set to it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its key, partitions and retention."""

    name: str
    key: str
    partitions: int
    retention_bytes: int = 512 * MIB  # of one partition; -1: no limit
    retention_ms: int = -1
    """-1: `retention_bytes` alone. Kafka uses the record's time, the capture time: with a limit in
    days the broker would delete an old film while it is read."""
    compacted: bool = False
    max_record_bytes: int = 1 * MIB
    is_irreplaceable: bool = True
    """Cannot be produced again: with three brokers `min.insync.replicas` is 2."""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The name without fleet and run, as a label: the same for the frames of all fleets."""
        return self.name.partition(".")[0].replace("-", "_")

    def config(self) -> dict[str, str]:
        """Return the topic's configuration for Kafka."""
        settings = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "max.message.bytes": str(self.max_record_bytes),
            # Kafka never deletes the active segment, however small the limit.
            "segment.ms": str(DAY_MS),
            "segment.bytes": str(self._segment_bytes()),
            # A record's time is its capture time. A film that is read faster than its pace, and a
            # camera's wrong clock, are ahead of the broker's clock, which allows an hour.
            "message.timestamp.after.max.ms": str(2**63 - 1),
        }
        if self.compacted:
            settings |= {
                "min.cleanable.dirty.ratio": "0.1",
                "delete.retention.ms": str(DAY_MS),
                # Replaced records are deleted within a day, however few they are: they may hold
                # templates of erased people.
                "max.compaction.lag.ms": str(MAX_COMPACTION_LAG_MS),
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
TRACKS = Topic("tracks", key="camera id", partitions=4, is_irreplaceable=False)
FACES = Topic("faces", key="site id", partitions=4)
SNAPSHOTS = Topic("snapshots", key="track id", partitions=4, max_record_bytes=2 * MIB)
CROPS = Topic(
    "crops",
    key="camera id",
    partitions=4,
    retention_bytes=1024 * MIB,
    max_record_bytes=MAX_RECORD_BYTES - 64 * KIB,  # a dead letter wraps the record
    is_irreplaceable=False,
)
CROP_OUTCOMES = Topic(
    "crop-outcomes",
    key="camera id",
    partitions=4,
    retention_bytes=128 * MIB,
    is_irreplaceable=False,
)
CROP_STATE = Topic(
    "crop-state",
    key="camera id and track number",
    partitions=CROPS.partitions,  # a track's state has the partition of its crops
    compacted=True,
    # Written with every crop, read at every take-over: compacted soon and in small pieces.
    extra={"segment.bytes": str(4 * MIB), "segment.ms": str(10 * 60_000)},
)
GALLERY = Topic("gallery", key="person id", partitions=1, compacted=True)
FACTS = Topic(
    "facts",
    key="kind and subject",
    partitions=1,
    compacted=True,
    max_record_bytes=MAX_RECORD_BYTES,  # a record holds all tracks of an erased person
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
    partitions=FACES.partitions,  # a table is partitioned like its stream
    compacted=True,
    max_record_bytes=MAX_RECORD_BYTES,  # of a batch: all changes of an event are one batch
)

DEFAULT_FLEET = "default"


def frames(fleet: str = DEFAULT_FLEET) -> Topic:
    """Return the topic of a fleet's frames.

    Its twelve partitions allow twelve workers without moving a camera to another partition.
    """
    return Topic(
        f"frames.{fleet}",
        key="camera id",
        partitions=12,
        retention_bytes=1024 * MIB,
        max_record_bytes=MAX_RECORD_BYTES - 64 * KIB,  # a dead letter wraps the record
        is_irreplaceable=False,
    )


def vision_state(fleet: str = DEFAULT_FLEET) -> Topic:
    """Return the topic of a fleet's vision state, partitioned like its frames."""
    return Topic(
        f"vision-state.{fleet}",
        key="camera id",
        partitions=frames(fleet).partitions,
        compacted=True,
        # Written ten times a second, read at every assignment: compacted soon, in small segments.
        extra={"segment.bytes": str(4 * MIB), "segment.ms": str(10 * 60_000)},
    )


LIVE = "live"
"""Name of the run over the frames as they arrive."""

RUN_TOPICS = (TRACKS, FACES, SNAPSHOTS, SIGHTINGS)
"""Topics that every run has of its own."""


def all_topics(fleets: tuple[str, ...] = (DEFAULT_FLEET,)) -> list[Topic]:
    """Return all topics of an installation with these fleets."""
    of_fleets = [topic for fleet in fleets for topic in (frames(fleet), vision_state(fleet))]
    return [
        *of_fleets, MOTION_EVENTS, TRACKS, FACES, SNAPSHOTS, CROPS, CROP_OUTCOMES, CROP_STATE,
        GALLERY, FACTS, SIGHTINGS, DEAD_LETTERS, MATCH_STATE,
    ]  # fmt: skip
