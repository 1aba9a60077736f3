"""Order of a run's face events: that of the live run, wherever live has met the same events.

A track's identity depends on the people met before, across the cameras of a site. Pure.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from processors.match.decision.step import inner_of
from schemas import sightline_pb2 as pb
from sightline.streaming.records import Record

OrderKey = tuple[int, int, int]
"""Position of a face event: an offset in live's partition and, for an event that live has not met
and that comes after that offset, its capture time (ms) and its rank in the run."""

_EventId = tuple[str, str]


def key_of_live(offset: int) -> OrderKey:
    """Return the position of an event of live."""
    return offset, -1, 0


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """Event of the topic `faces` with the record that it came in."""

    record: Record
    event: pb.FaceEvent

    @property
    def inner(self) -> pb.FaceObservation | pb.TrackEnded:
        """Message inside the event."""
        return inner_of(self.event)

    @property
    def event_id(self) -> tuple[str, str]:
        """Kind and id of the event, the same in every run over the frames."""
        if self.event.HasField("observation"):
            return "observation", self.event.observation.observation_id
        return "end", self.event.track_ended.track_id


@dataclass(slots=True)
class _Timeline:
    """Times and offsets at which live met the events of a camera or site, in live's order."""

    times: list[int] = field(default_factory=list)  # ms, never less than the one before
    offsets: list[int] = field(default_factory=list)

    def add(self, at_ms: int, offset: int) -> None:
        self.times.append(max(at_ms, self.times[-1] if self.times else at_ms))
        self.offsets.append(offset)

    def offset_before(self, at_ms: int) -> int:
        """Return the offset of the last event up to a time, else the one before the first."""
        rank = bisect_right(self.times, at_ms)
        return self.offsets[rank - 1] if rank else self.offsets[0] - 1


class LiveOrder:
    """Order of the events of one partition of live's faces."""

    def __init__(self) -> None:
        self._offsets: defaultdict[_EventId, list[int]] = defaultdict(list)
        self._cameras: defaultdict[str, _Timeline] = defaultdict(_Timeline)
        self._sites: defaultdict[str, _Timeline] = defaultdict(_Timeline)

    def add(self, face: FaceRecord) -> None:
        """Add the next event of live."""
        offset, at_ms = face.record.offset, face.record.timestamp_ms
        self._offsets[face.event_id].append(offset)
        self._cameras[face.inner.camera_id].add(at_ms, offset)
        self._sites[face.inner.site_id].add(at_ms, offset)

    def place(self, faces: Sequence[FaceRecord]) -> list[tuple[OrderKey, FaceRecord]]:
        """Return the events of a run with their positions, sorted by these.

        An event that live has not met is placed by capture time among live's events of the same
        camera, and never out of its own camera's order. The n-th time that an event comes is
        live's n-th.
        """
        live_offsets = self._live_offsets(faces)
        by_camera: defaultdict[str, list[int]] = defaultdict(list)
        for rank, face in enumerate(faces):
            by_camera[face.inner.camera_id].append(rank)
        placed: list[tuple[OrderKey, FaceRecord]] = []
        for ranks in by_camera.values():
            placed += self._place_camera(faces, ranks, live_offsets)
        return sorted(placed, key=lambda entry: entry[0])

    def _live_offsets(self, faces: Iterable[FaceRecord]) -> dict[int, int]:
        """Return the offsets in live by the rank of an event in the run."""
        times: Counter[_EventId] = Counter()
        live_offsets: dict[int, int] = {}
        for rank, face in enumerate(faces):
            offsets = self._offsets.get(face.event_id, [])
            if times[face.event_id] < len(offsets):
                live_offsets[rank] = offsets[times[face.event_id]]
            times[face.event_id] += 1
        return live_offsets

    def _place_camera(
        self, faces: Sequence[FaceRecord], ranks: Sequence[int], live_offsets: dict[int, int]
    ) -> Iterable[tuple[OrderKey, FaceRecord]]:
        limits = self._next_offsets(ranks, live_offsets)
        last, time = -1, 0
        for rank, limit in zip(ranks, limits, strict=True):
            if rank in live_offsets:
                last = max(last, live_offsets[rank])
                yield key_of_live(live_offsets[rank]), faces[rank]
                continue
            offset = self._offset_before(faces[rank])
            last = max(last, offset if limit is None else min(offset, limit - 1))
            time = max(time, faces[rank].record.timestamp_ms)
            yield (last, time, rank), faces[rank]

    @staticmethod
    def _next_offsets(ranks: Sequence[int], live_offsets: dict[int, int]) -> list[int | None]:
        """Return for each event of a camera the offset of the next one that live has met."""
        limits: list[int | None] = []
        limit: int | None = None
        for rank in reversed(ranks):
            limits.append(limit)
            limit = live_offsets.get(rank, limit)
        return limits[::-1]

    def _offset_before(self, face: FaceRecord) -> int:
        for timeline in (
            self._cameras.get(face.inner.camera_id),
            self._sites.get(face.inner.site_id),
        ):
            if timeline is not None:
                return timeline.offset_before(face.record.timestamp_ms)
        return -1
