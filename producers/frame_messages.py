"""Protobuf messages and records of a camera's frames and motion events."""

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np

from producers.event_cutter import Event, EventFrame
from producers.frame_accounting import FrameCounts
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.models.interface import BGRImage
from sightline.runtime import metrics
from sightline.runtime.errors import InfrastructureError
from sightline.storage.camera_masks import CameraMask, MaskKind
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.streaming.records import OutputRecord

_OVERHEAD_BYTES: Final = 1024
"""Upper bound of the bytes that Kafka adds to a record: key, headers, batch."""

_LOWEST_QUALITY: Final = 30
"""JPEG quality below which a picture that is too large is dropped: faces lose their features."""

_LOWER_BY: Final = 0.8
"""Factor between two qualities that are tried."""

_LOWERED: Final = (
    "pictures are too large for Kafka and are sent with a lower quality: use --width or --quality"
)
_DROPPED: Final = "pictures are too large for Kafka and are dropped: use --width"


class FrameEncoder:
    """Encoder of a camera's pictures as frames.

    A picture that is too large for a Kafka record is encoded with a lower quality. Each one begins
    with the camera's, so that a film gives the same records wherever it was resumed.
    """

    def __init__(self, camera: NewCamera) -> None:
        self._camera = camera
        self._max_bytes = topics.frames(camera.fleet).max_record_bytes - _OVERHEAD_BYTES
        self._masks = mask_messages(camera.settings.masks)
        self.warning: str | None = None
        """Line for the operator if pictures of the newest event are too large."""

    def encode(
        self, event_frames: Sequence[EventFrame], counts: FrameCounts, *, live: bool
    ) -> list[pb.Frame]:
        """Encode pictures as frames; a frame that can never be sent is counted as dropped."""
        frames = [self._frame(event_frame, counts, live=live) for event_frame in event_frames]
        return [frame for frame in frames if frame is not None]

    def _frame(
        self, event_frame: EventFrame, counts: FrameCounts, *, live: bool
    ) -> pb.Frame | None:
        if event_frame.first:
            self.warning = None
        for quality in _qualities(self._camera.settings.quality):
            try:
                with metrics.STAGE_SECONDS.labels("encode").time():
                    image = encode_image(event_frame.image, self._camera.settings, quality)
            except cv2.error:  # such as wider than JPEG allows
                counts.drop("bad_image")
                return None
            frame = self._message(event_frame, *image, live=live)
            if frame.ByteSize() <= self._max_bytes:
                if quality < self._camera.settings.quality and self.warning is None:
                    self.warning = _LOWERED
                return frame
        counts.drop("too_large")
        self.warning = _DROPPED
        return None

    def _message(
        self, event_frame: EventFrame, jpeg: bytes, width: int, height: int, *, live: bool
    ) -> pb.Frame:
        return pb.Frame(
            camera_id=self._camera.camera_id,
            site_id=self._camera.site_id,
            sequence=event_frame.sequence,
            captured_at_us=event_frame.captured_at_us,
            jpeg=jpeg,
            width=width,
            height=height,
            motion_event_id=event_frame.event.event_id,
            first_in_event=event_frame.first,
            last_in_event=event_frame.last,
            live=live,
            still=event_frame.still,
            masks=self._masks,
        )


_MASK_KINDS: Final[dict[MaskKind, pb.Mask.Kind]] = {
    "people": pb.Mask.PEOPLE,
    "faces": pb.Mask.FACES,
}


def _qualities(highest: int) -> Iterator[int]:
    """Yield the qualities that are tried, the highest first."""
    quality = highest
    while quality > _LOWEST_QUALITY:
        yield quality
        quality = round(quality * _LOWER_BY)
    yield min(highest, _LOWEST_QUALITY)


def mask_messages(masks: Sequence[CameraMask]) -> list[pb.Mask]:
    """Return the messages of the masks that vision needs; motion is masked before."""
    messages = []
    for mask in masks:
        kinds = [_MASK_KINDS[kind] for kind in mask.kinds if kind in _MASK_KINDS]
        if kinds:
            coordinates = [value for point in mask.points for value in point]
            messages.append(pb.Mask(kinds=kinds, points=coordinates))
    return messages


def announcement(camera: NewCamera, kind: pb.MotionEvent.Kind, event: Event) -> OutputRecord:
    """Build the record of an event's start or end."""
    message = pb.MotionEvent(
        event_id=event.event_id,
        camera_id=camera.camera_id,
        site_id=camera.site_id,
        kind=kind,
        at_us=event.started_at_us,
        first_sequence=event.first_sequence,
        started_at_us=event.started_at_us,
    )
    if kind == pb.MotionEvent.ENDED:
        message.at_us = event.last_at_us
        message.last_sequence = event.last_sequence
        message.frames = event.delivered
    return OutputRecord.of(topics.MOTION_EVENTS, camera.camera_id, message, message.at_us)


def encode_image(
    image: BGRImage, settings: CameraSettings, quality: int | None = None
) -> tuple[bytes, int, int]:
    """Encode an image (H x W x 3, BGR) as JPEG, scaled to the set width; its width and height.

    The quality, 1 to 100, is that of the settings if none is given. Raises cv2.error for an image
    that JPEG cannot hold.
    """
    height, width = image.shape[:2]
    if settings.width is not None and settings.width < width:
        height = max(1, round(height * settings.width / width))
        width = settings.width
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    quality = quality or settings.quality
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise InfrastructureError("OpenCV does not encode JPEG")
    return data.tobytes(), width, height
