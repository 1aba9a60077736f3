"""In which order a run's faces are matched: in live's, wherever live has met the same.

What a face is taken for depends on who was met before, across the cameras of a site. Pure.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from processors.match.step import inner_of
from schemas import sightline_pb2 as pb
from sightline.streaming.records import Record

Key = tuple[int, int, int]
"""Where a face event belongs: an offset in live's partition, and, for one that live has not met and
that comes after that offset, its capture time (ms) and its rank in the run."""

_Name = tuple[str, str]


def key_of_live(offset: int) -> Key:
    """The place of what live has met itself."""
    return offset, -1, 0


@dataclass(frozen=True, slots=True)
class Face:
    """An event of the topic `faces`, and the record that it came in."""

    record: Record
    event: pb.FaceEvent

    @property
    def inner(self) -> pb.FaceObservation | pb.TrackEnded:
        """What it tells."""
        return inner_of(self.event)

    @property
    def name(self) -> _Name:
        """What it is, whichever pass over the frames tells it."""
        if self.event.HasField("observation"):
            return "shot", self.event.observation.observation_id
        return "end", self.event.track_ended.track_id


@dataclass(slots=True)
class _Camera:
    """When live heard of a camera's faces, as it heard of them."""

    times: list[int] = field(default_factory=list)  # ms, never less than the one before
    offsets: list[int] = field(default_factory=list)

    def add(self, at_ms: int, offset: int) -> None:
        self.times.append(max(at_ms, self.times[-1] if self.times else at_ms))
        self.offsets.append(offset)

    def before(self, at_ms: int) -> int:
        """The offset of the last event up to a time; of the one before the first where none is."""
        place = bisect_right(self.times, at_ms)
        return self.offsets[place - 1] if place else self.offsets[0] - 1


class LiveOrder:
    """The events of one partition of live's faces, in the order of their offsets."""

    def __init__(self) -> None:
        self._offsets: defaultdict[_Name, list[int]] = defaultdict(list)
        self._cameras: defaultdict[str, _Camera] = defaultdict(_Camera)
        self._sites: defaultdict[str, _Camera] = defaultdict(_Camera)

    def add(self, face: Face) -> None:
        """Note the next event."""
        offset, at_ms = face.record.offset, face.record.timestamp_ms
        self._offsets[face.name].append(offset)
        self._cameras[face.inner.camera_id].add(at_ms, offset)
        self._sites[face.inner.site_id].add(at_ms, offset)

    def place(self, again: Sequence[Face]) -> list[tuple[Key, Face]]:
        """The events of a run, each with its place, sorted by it.

        What live has not met goes by capture time among what it has met of the same camera, and
        never out of its own camera's order. The n-th time that an event comes is live's n-th.
        """
        known = self._known(again)
        by_camera: defaultdict[str, list[int]] = defaultdict(list)
        for number, face in enumerate(again):
            by_camera[face.inner.camera_id].append(number)
        placed: list[tuple[Key, Face]] = []
        for numbers in by_camera.values():
            placed += self._place_camera(again, numbers, known)
        return sorted(placed, key=lambda one: one[0])

    def _known(self, again: Iterable[Face]) -> dict[int, int]:
        """By the rank of an event its offset in live."""
        times: Counter[_Name] = Counter()
        known: dict[int, int] = {}
        for number, face in enumerate(again):
            offsets = self._offsets.get(face.name, [])
            if times[face.name] < len(offsets):
                known[number] = offsets[times[face.name]]
            times[face.name] += 1
        return known

    def _place_camera(
        self, again: Sequence[Face], numbers: Sequence[int], known: dict[int, int]
    ) -> Iterable[tuple[Key, Face]]:
        following = self._following(numbers, known)
        last, time = -1, 0
        for number, limit in zip(numbers, following, strict=True):
            if number in known:
                last = max(last, known[number])
                yield key_of_live(known[number]), again[number]
                continue
            at = self._before(again[number])
            last = max(last, at if limit is None else min(at, limit - 1))
            time = max(time, again[number].record.timestamp_ms)
            yield (last, time, number), again[number]

    @staticmethod
    def _following(numbers: Sequence[int], known: dict[int, int]) -> list[int | None]:
        """Of each event of a camera the offset of the next one that live knows."""
        found: list[int | None] = []
        limit: int | None = None
        for number in reversed(numbers):
            found.append(limit)
            limit = known.get(number, limit)
        return found[::-1]

    def _before(self, face: Face) -> int:
        for places in (
            self._cameras.get(face.inner.camera_id),
            self._sites.get(face.inner.site_id),
        ):
            if places is not None:
                return places.before(face.record.timestamp_ms)
        return -1
