"""Protobuf messages and records of a camera's frames and motion events."""

from collections.abc import Sequence
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
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.streaming.records import OutputRecord

_OVERHEAD_BYTES: Final = 1024
"""Upper bound of the bytes that Kafka adds to a record: key, headers, batch."""


def encode_frames(
    camera: NewCamera, event_frames: Sequence[EventFrame], counts: FrameCounts, *, live: bool
) -> list[pb.Frame]:
    """Encode pictures as frames; a frame that can never be sent is counted as dropped."""
    frames = [_frame(camera, event_frame, counts, live=live) for event_frame in event_frames]
    return [frame for frame in frames if frame is not None]


def _frame(
    camera: NewCamera, event_frame: EventFrame, counts: FrameCounts, *, live: bool
) -> pb.Frame | None:
    try:
        with metrics.STAGE_SECONDS.labels("encode").time():
            jpeg, width, height = encode_image(event_frame.image, camera.settings)
    except cv2.error:  # such as wider than JPEG allows
        counts.drop("bad_image")
        return None
    frame = pb.Frame(
        camera_id=camera.camera_id,
        site_id=camera.site_id,
        sequence=event_frame.sequence,
        captured_at_us=event_frame.captured_at_us,
        jpeg=jpeg,
        width=width,
        height=height,
        motion_event_id=event_frame.event.event_id,
        first_in_event=event_frame.first,
        last_in_event=event_frame.last,
        live=live,
    )
    if frame.ByteSize() + _OVERHEAD_BYTES > topics.frames(camera.fleet).max_record_bytes:
        counts.drop("too_large")
        return None
    return frame


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


def encode_image(image: BGRImage, settings: CameraSettings) -> tuple[bytes, int, int]:
    """Encode an image (H x W x 3, BGR) as JPEG, scaled to the set width; its width and height."""
    height, width = image.shape[:2]
    if settings.width is not None and settings.width < width:
        height = max(1, round(height * settings.width / width))
        width = settings.width
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, settings.quality])
    if not ok:
        raise InfrastructureError("OpenCV does not encode JPEG")
    return data.tobytes(), width, height
