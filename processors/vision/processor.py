"""The Kafka side of the pipeline: records in and out, and one state for each camera."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from processors.vision.frames import decode_picture
from processors.vision.overload import Overload
from processors.vision.pace import KeepUp, Pace
from processors.vision.pipeline import CameraState, Picture, VisionPipeline
from processors.vision.settings import VisionSettings
from processors.vision.state import UnusableStateError, read_state, restore_state, save_state
from schemas import sightline_pb2 as pb
from schemas.naming import of_run
from schemas.topics import FACES, LIVE, SNAPSHOTS, TRACKS, vision_state
from sightline.models import outputs
from sightline.models.packs import BGRImage, ModelPack
from sightline.runtime import metrics
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InvalidRecord
from sightline.runtime.settings import Settings
from sightline.streaming.records import Out, Partition, Record

log = logging.getLogger(__name__)

_WRITTEN = (TRACKS, FACES, SNAPSHOTS)

_CameraKey = tuple[str, int, str]
"""Topic, partition, camera: state goes with its partition to another worker."""


class VisionProcessor:
    """Frames to tracks, faces and snapshots.

    `belongs` says which records are to be processed at all.
    """

    def __init__(
        self,
        pack: ModelPack,
        settings: Settings,
        *,
        belongs: Callable[[Record], bool] = lambda _: True,
        clock: Clock | None = None,
    ) -> None:
        self._pipeline = VisionPipeline(pack, VisionSettings.of(settings), settings.evidence)
        self._settings = settings
        self._belongs = belongs
        self._clock = clock or SystemClock()
        self._keep_up = KeepUp(VisionSettings.of(settings))
        self._paces: dict[_CameraKey, Pace] = {}
        self._overloads: dict[_CameraKey, Overload] = {}
        self._states: dict[_CameraKey, CameraState] = {}
        self._saved: dict[_CameraKey, tuple[int, bytes]] = {}
        """By somebody before, for the frame at an offset; not looked at yet."""
        self._touched: dict[_CameraKey, tuple[int, int]] = {}
        """Cameras whose state has changed: offset behind the last frame, and its milliseconds."""
        self._names = {one.name: of_run(one, settings.run).name for one in _WRITTEN}
        self._state_topic = of_run(vision_state(settings.fleet), settings.run).name
        self._processed = metrics.FRAMES_PROCESSED.labels(settings.fleet)
        self._live = metrics.TRACKS_LIVE.labels(settings.fleet)

    def process(self, record: Record) -> Iterator[Out]:
        """A frame's records.

        Raises InvalidRecord for one that is no frame. For a frame whose picture is bad it does so
        after the frame's record in `tracks`: who counts an event's frames misses none.
        """
        if not self._belongs(record):
            return
        frame = record.decode(pb.Frame)
        if record.retry_for is not None:
            yield self._tried_again(record, frame)
            return
        key = (record.topic, record.partition, frame.camera_id)
        picture, bad = self._picture(key, record, frame)
        outs, state = self._pipeline.step(self._state_before(key), picture)
        if state is None:
            self._states.pop(key, None)
        else:
            self._states[key] = state
        self._touched[key] = (record.offset + 1, frame.captured_at_us // 1000)
        self._processed.inc()
        self._show_tracks()
        for out in outs:
            yield replace(out, topic=self._names[out.topic])
        if bad is not None:
            raise bad

    def state(self) -> Iterator[Out]:
        """The state of each camera with a new frame; a tombstone where its event is over."""
        touched, self._touched = self._touched, {}
        for key, (next_offset, at_ms) in touched.items():
            _, partition, camera_id = key
            state = self._states.get(key)
            value = None if state is None else save_state(camera_id, next_offset, state)
            metrics.VISION_STATE_BYTES.observe(len(value or b""))
            yield Out(self._state_topic, camera_id, value, at_ms, partition)

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        """Keep a camera's state until its next frame comes."""
        key = (*partition, (record.key or b"").decode(errors="replace"))
        if record.value is None:
            self._saved.pop(key, None)
        else:
            self._saved[key] = (next_offset, record.value)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the state of the cameras on partitions that another worker has now."""
        gone = set(partitions)
        for key in [key for key in self._paces if key[:2] in gone]:
            del self._paces[key]
            metrics.FRAME_AGE_SECONDS.remove(key[2])
            metrics.VISION_BEHIND.remove(key[2])
            self._overloads.pop(key).close()
        self._states = {key: state for key, state in self._states.items() if key[:2] not in gone}
        self._saved = {key: state for key, state in self._saved.items() if key[:2] not in gone}
        self._touched = {key: at for key, at in self._touched.items() if key[:2] not in gone}
        self._show_tracks()

    def _show_tracks(self) -> None:
        self._live.set(sum(len(camera.tracks) for camera in self._states.values()))

    def _state_before(self, key: _CameraKey) -> CameraState | None:
        saved = self._saved.pop(key, None)
        if saved is None:
            return self._states.get(key)
        next_offset, value = saved
        try:
            message = read_state(value, next_offset)
            return restore_state(message, self._settings.evidence.lost_seconds)
        except UnusableStateError as error:
            metrics.DEAD_LETTERS.labels("vision", "unusable_state").inc()
            log.warning("vision: camera %s begins anew: %s", key[2], error)
            return None

    def _picture(
        self, key: _CameraKey, record: Record, frame: pb.Frame
    ) -> tuple[Picture, InvalidRecord | None]:
        if frame.live and self._settings.run == LIVE and self._skips(key, frame):
            return Picture(frame, record.position, None, skipped=True), None
        image, bad = self._decode(frame)
        return Picture(frame, record.position, image), bad

    def _skips(self, key: _CameraKey, frame: pb.Frame) -> bool:
        if key not in self._paces:
            self._paces[key] = Pace()
            self._overloads[key] = Overload(frame.camera_id, self._clock)
        pace = self._paces[key]
        skips = self._keep_up.skips(pace, frame, self._clock.now_us())
        metrics.FRAME_AGE_SECONDS.labels(frame.camera_id).set(pace.age_seconds)
        metrics.VISION_BEHIND.labels(frame.camera_id).set(pace.is_behind)
        self._overloads[key].count(skipped=skips)
        if skips:
            metrics.FRAMES_SKIPPED.labels(frame.camera_id, "behind").inc()
        return skips

    def _tried_again(self, record: Record, frame: pb.Frame) -> Out:
        """A dead letter's frame, whose moment is over: what its camera's tracks are stays."""
        decode_picture(frame)
        out = outputs.frame_tracks(frame, record.position, [], again=True)
        return replace(out, topic=self._names[out.topic])

    def _decode(self, frame: pb.Frame) -> tuple[BGRImage | None, InvalidRecord | None]:
        try:
            with metrics.STAGE_SECONDS.labels("decode").time():
                return decode_picture(frame), None
        except InvalidRecord as error:
            return None, error
