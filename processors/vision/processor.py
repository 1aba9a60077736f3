"""The Kafka side of the pipeline: records in, records out, and a state for each camera."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from processors.vision.backlog import Footage
from processors.vision.camera_state import CameraState
from processors.vision.followed_track import UnusableStateError
from processors.vision.frame_decoder import decode_picture
from processors.vision.load_shedding import FrameWait, LoadShedding, SheddingState
from processors.vision.pipeline import DecodedFrame, VisionPipeline
from processors.vision.settings import VisionSettings
from processors.vision.shed_ratio import ShedRatio
from processors.vision.state_record import read_state, restore_state, save_state
from schemas import sightline_pb2 as pb
from schemas.naming import of_run
from schemas.topics import FACES, LIVE, SNAPSHOTS, TRACKS, vision_state
from sightline.models import outputs
from sightline.models.interface import ModelPack
from sightline.runtime import metrics
from sightline.runtime.clock import US_PER_SECOND, Clock, SystemClock
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.streaming.records import OutputRecord, Partition, Record

log = logging.getLogger(__name__)

_OUTPUT_TOPICS = (TRACKS, FACES, SNAPSHOTS)

_CameraKey = tuple[str, int, str]
"""Topic, partition, camera: a state moves with its partition to another worker."""


@dataclass(slots=True)
class _Result:
    """The outputs of one record, and the error that comes after them."""

    outs: list[OutputRecord] = field(default_factory=list)
    error: PoisonRecord | None = None


class VisionProcessor:
    """Frames to tracks, faces and snapshots.

    `is_included` returns False for records that are not to be processed at all.
    """

    def __init__(
        self,
        pack: ModelPack,
        settings: Settings,
        *,
        is_included: Callable[[Record], bool] = lambda _: True,
        clock: Clock | None = None,
    ) -> None:
        self._pipeline = VisionPipeline(pack, VisionSettings.of(settings), settings.evidence)
        self._settings = settings
        self._is_included = is_included
        self._clock = clock or SystemClock()
        self._load_shedding = LoadShedding(VisionSettings.of(settings))
        self._shedding: dict[_CameraKey, SheddingState] = {}
        self._shed_ratios: dict[_CameraKey, ShedRatio] = {}
        self._footage: dict[Partition, Footage] = {}
        self._states: dict[_CameraKey, CameraState] = {}
        self._saved: dict[_CameraKey, tuple[int, bytes]] = {}
        """States of another worker, not read yet, with the offset that the frames go on at."""
        self._prepared: dict[tuple[str, int, int], _Result] = {}
        """Results by topic, partition and offset, until the record is processed."""
        self._touched: dict[_CameraKey, tuple[int, int]] = {}
        """Cameras with new frames: the offset after the last of them, and its time in ms."""
        self._names = {topic.name: of_run(topic, settings.run).name for topic in _OUTPUT_TOPICS}
        self._state_topic = of_run(vision_state(settings.fleet), settings.run).name
        self._processed = metrics.FRAMES_PROCESSED.labels(settings.fleet)
        self._live = metrics.TRACKS_LIVE.labels(settings.fleet)

    def process(self, record: Record) -> Iterator[OutputRecord]:
        """Yield a frame's records, from `prepare` where the frame was among its records.

        Raises:
            InvalidRecord: The record is no frame. For a frame whose picture is bad this comes after
                the frame's record in `tracks`: a count of an event's frames misses none.
        """
        place = (record.topic, record.partition, record.offset)
        if place not in self._prepared:
            self.prepare([record])
        result = self._prepared.pop(place)
        for out in result.outs:
            yield replace(out, topic=self._names[out.topic])
        if result.error is not None:
            raise result.error

    def prepare(self, records: Sequence[Record]) -> None:
        """Run the models over the frames of several cameras at once.

        The records are to be processed one by one next, in this order. Their outputs are the same
        as without this.
        """
        pictures: list[tuple[_CameraKey, DecodedFrame]] = []
        frames: list[_Result] = []
        for record in records:
            result = _Result()
            self._prepared[record.topic, record.partition, record.offset] = result
            try:
                step = self._read(record, result)
            except PoisonRecord as error:
                result.error = error
                continue
            if step is not None:
                pictures.append(step)
                frames.append(result)
        for result, outs in zip(frames, self._pipeline.run(self._states, pictures), strict=True):
            result.outs += outs
        self._processed.inc(len(frames))
        self._show_tracks()

    def _read(self, record: Record, result: "_Result") -> tuple[_CameraKey, DecodedFrame] | None:
        """Return a record's picture for the pipeline; None where it has nothing to do."""
        if not self._is_included(record):
            return None
        frame = record.decode(pb.Frame)
        if record.retry_for is not None:
            # Too late for the tracks of its camera, unless its picture is bad once more.
            decode_picture(frame)
            repeated = outputs.frame_tracks(frame, record.position, [], was_dead_letter=True)
            result.outs.append(repeated)
            return None
        key = (record.topic, record.partition, frame.camera_id)
        picture, result.error = self._picture(key, record, frame)
        self._take_over(key)
        self._touched[key] = (record.offset + 1, frame.captured_at_us // 1000)
        return key, picture

    def state(self) -> Iterator[OutputRecord]:
        """Yield the state of each camera with a new frame; a tombstone where its event is over."""
        touched, self._touched = self._touched, {}
        for key, (next_offset, at_ms) in touched.items():
            _, partition, camera_id = key
            state = self._states.get(key)
            value = None if state is None else save_state(camera_id, next_offset, state)
            metrics.VISION_STATE_BYTES.observe(len(value or b""))
            yield OutputRecord(self._state_topic, camera_id, value, at_ms, partition)

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        """Keep a camera's state until its next frame comes."""
        key = (*partition, (record.key or b"").decode(errors="replace"))
        if record.value is None:
            self._saved.pop(key, None)
        else:
            self._saved[key] = (next_offset, record.value)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the state of the cameras on partitions that another worker has now."""
        lost = set(partitions)
        for key in [key for key in self._shedding if key[:2] in lost]:
            del self._shedding[key]
            metrics.FRAME_WAITING_SECONDS.remove(key[2])
            metrics.CAPTURE_DELAY_SECONDS.remove(key[2])
            metrics.VISION_SHEDDING.remove(key[2])
            self._shed_ratios.pop(key).close()
        self._footage = {at: footage for at, footage in self._footage.items() if at not in lost}
        self._states = {key: state for key, state in self._states.items() if key[:2] not in lost}
        self._saved = {key: state for key, state in self._saved.items() if key[:2] not in lost}
        self._touched = {key: at for key, at in self._touched.items() if key[:2] not in lost}
        self._prepared = {at: result for at, result in self._prepared.items() if at[:2] not in lost}
        self._show_tracks()

    def _show_tracks(self) -> None:
        self._live.set(sum(len(camera.tracks) for camera in self._states.values()))

    def _take_over(self, key: _CameraKey) -> None:
        """Restore the state that another worker has saved of a camera, if there is any."""
        saved = self._saved.pop(key, None)
        if saved is None:
            return
        next_offset, value = saved
        self._states.pop(key, None)
        try:
            message = read_state(value, next_offset)
            self._states[key] = restore_state(message, self._settings.evidence.lost_seconds)
        except UnusableStateError as error:
            metrics.DEAD_LETTERS.labels("vision", "unusable_state").inc()
            log.warning("vision: camera %s begins anew: %s", key[2], error)

    def _picture(
        self, key: _CameraKey, record: Record, frame: pb.Frame
    ) -> tuple[DecodedFrame, PoisonRecord | None]:
        if frame.live and self._settings.run == LIVE and self._skips(key, record, frame):
            return DecodedFrame(frame, record.position, None, skipped=True), None
        try:
            with metrics.STAGE_SECONDS.labels("decode").time():
                image = decode_picture(frame)
        except PoisonRecord as error:
            return DecodedFrame(frame, record.position, None), error
        return DecodedFrame(frame, record.position, image), None

    def _skips(self, key: _CameraKey, record: Record, frame: pb.Frame) -> bool:
        if key not in self._shedding:
            self._shedding[key] = SheddingState()
            self._shed_ratios[key] = ShedRatio(frame.camera_id, self._clock)
        shedding = self._shedding[key]
        footage = self._footage.setdefault(record.topic_partition, Footage())
        wait = FrameWait(record.waited_seconds, footage.seconds(record), self._clock.monotonic())
        skips = self._load_shedding.skips(shedding, frame, wait)
        since_capture = (self._clock.now_us() - frame.captured_at_us) / US_PER_SECOND
        metrics.FRAME_WAITING_SECONDS.labels(frame.camera_id).set(record.waited_seconds)
        metrics.CAPTURE_DELAY_SECONDS.labels(frame.camera_id).set(
            since_capture - record.waited_seconds
        )
        metrics.VISION_SHEDDING.labels(frame.camera_id).set(shedding.is_behind)
        reason = "backlog" if shedding.backlog.is_working_off else "behind"
        self._shed_ratios[key].count(skipped=skips and reason == "behind")
        if skips:
            metrics.FRAMES_SKIPPED.labels(frame.camera_id, reason).inc()
        return skips
