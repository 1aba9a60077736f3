"""The Kafka side of the pipeline: records in and out, and one state for each camera."""

from collections.abc import Iterable, Iterator

from processors.vision.frames import decode_picture
from processors.vision.pipeline import CameraState, Picture, VisionPipeline
from schemas import sightline_pb2 as pb
from sightline import metrics
from sightline.errors import InvalidRecord
from sightline.kafka.records import Out, Record
from sightline.settings import Settings
from sightline.vision.packs import BGRImage, ModelPack

_CameraKey = tuple[str, int, str]
"""Topic, partition, camera: state goes with its partition to another worker."""


class VisionProcessor:
    """Frames to tracks, faces and snapshots."""

    def __init__(self, pack: ModelPack, settings: Settings) -> None:
        self._pipeline = VisionPipeline(pack, settings.vision)
        self._states: dict[_CameraKey, CameraState] = {}
        self._processed = metrics.FRAMES_PROCESSED.labels(settings.fleet)
        self._live = metrics.TRACKS_LIVE.labels(settings.fleet)

    def process(self, record: Record) -> Iterator[Out]:
        """A frame's records.

        Raises InvalidRecord for one that is no frame. For a frame whose picture is bad it does so
        after the frame's record in `tracks`: who counts an event's frames misses none.
        """
        frame = record.decode(pb.Frame)
        image, bad = self._decode(frame)
        key = (record.topic, record.partition, frame.camera_id)
        outs, state = self._pipeline.step(
            self._states.get(key), Picture(frame, record.position, image)
        )
        if state is None:
            self._states.pop(key, None)
        else:
            self._states[key] = state
        self._processed.inc()
        self._live.set(sum(len(camera.tracks) for camera in self._states.values()))
        yield from outs
        if bad is not None:
            raise bad

    def forget(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Drop the state of the cameras on partitions that another worker has now."""
        gone = set(partitions)
        self._states = {key: state for key, state in self._states.items() if key[:2] not in gone}

    def _decode(self, frame: pb.Frame) -> tuple[BGRImage | None, InvalidRecord | None]:
        try:
            with metrics.STAGE_SECONDS.labels("decode").time():
                return decode_picture(frame), None
        except InvalidRecord as error:
            return None, error
