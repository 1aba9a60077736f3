"""The tracks that senders of crops follow, by the senders' own numbers. No clock, no Kafka."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from processors.vision.track_split import SplitTrack, ended_and_second
from processors.vision.verification import VerifiedCrop
from schemas import sightline_pb2 as pb
from schemas.ids import motion_event_id, track_id
from sightline.models.outputs import Track, TrackProperties

_MAX_TRACKS = 10_000
"""Tracks of a partition at once; the one with the oldest crop ends for one too many."""


class CropTracks:
    """The tracks of one partition of the topic `crops`."""

    def __init__(self, idle_us: int) -> None:
        """Make an empty store; a track is idle after `idle_us` of its camera's time."""
        self._idle_us = idle_us
        self._by_camera: dict[str, OrderedDict[int, Track]] = {}
        self._order: OrderedDict[tuple[str, int], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def find(self, camera_id: str, number: int) -> Track | None:
        """Return the track with a sender's number; None where it has none."""
        numbers = self._by_camera.get(camera_id)
        return None if numbers is None else numbers.get(number)

    def follow(self, crop: pb.Crop) -> Track:
        """Return the track that a crop belongs to, a new one where there is none.

        Tracks that begin in one frame share a motion event: the matcher takes no two of them for
        one person.
        """
        track = self.find(crop.camera_id, crop.track_number)
        if track is None:
            at_us = crop.captured_at_us
            name = TrackProperties(
                track_id=track_id(crop.camera_id, at_us, crop.track_number),
                number=crop.track_number,
                camera_id=crop.camera_id,
                site_id=crop.site_id,
                motion_event_id=motion_event_id(crop.camera_id, at_us),
                started_us=at_us,
            )
            track = Track(name, at_us)
        self.put(track)
        return track

    def put(self, track: Track) -> None:
        """Add a track, or note that it has the newest crop of all."""
        key = (track.properties.camera_id, track.properties.number)
        numbers = self._by_camera.setdefault(key[0], OrderedDict())
        numbers[key[1]] = track
        numbers.move_to_end(key[1])
        self._order[key] = None
        self._order.move_to_end(key)

    def of_camera(self, camera_id: str) -> list[Track]:
        """Return the tracks of a camera."""
        return list(self._by_camera.get(camera_id, {}).values())

    def exchange(self, track: Track, other: Track) -> None:
        """Exchange the senders' numbers of two tracks of a camera."""
        numbers = self._by_camera[track.properties.camera_id]
        number, other_number = track.properties.number, other.properties.number
        track.properties = replace(track.properties, number=other_number)
        other.properties = replace(other.properties, number=number)
        numbers[number], numbers[other_number] = other, track

    def split(self, track: Track, verified: VerifiedCrop, at_us: int) -> SplitTrack:
        """Split a track by a face that confirms another; its second part takes over the number."""
        number = track.properties.number
        split = ended_and_second(track, verified, at_us, number, number)
        self.remove(track)
        self.put(split.second)
        return split

    def remove(self, track: Track) -> None:
        """Remove a track that is over."""
        camera_id, number = track.properties.camera_id, track.properties.number
        del self._order[camera_id, number]
        numbers = self._by_camera[camera_id]
        del numbers[number]
        if not numbers:
            del self._by_camera[camera_id]

    def idle(self, camera_id: str, at_us: int) -> Iterator[Track]:
        """Remove and yield the tracks of a camera that had no crop for long at a capture time."""
        for track in list(self._by_camera.get(camera_id, {}).values()):
            if track.seen_us >= at_us - self._idle_us:
                break
            self.remove(track)
            yield track

    def surplus(self) -> Iterator[Track]:
        """Remove and yield the tracks that are more than a partition may have."""
        while len(self._order) > _MAX_TRACKS:
            camera_id, number = next(iter(self._order))
            track = self._by_camera[camera_id][number]
            self.remove(track)
            yield track
