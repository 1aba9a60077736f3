"""What is said of a camera: its frames, and its motion events."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from producers.events import Event, Shot
from producers.ledger import Tally
from producers.pictures import BGRImage
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.runtime import metrics
from sightline.runtime.errors import InfrastructureError
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.streaming.records import Out

_OVERHEAD: Final = 1024
"""Bytes that Kafka adds to a record at most: key, headers, batch."""


def frames_of(
    camera: NewCamera, shots: Sequence[Shot], tally: Tally, *, live: bool
) -> list[pb.Frame]:
    """The frames of these shots; those that can never be sent are counted as dropped."""
    made = [_frame(camera, shot, tally, live=live) for shot in shots]
    return [frame for frame in made if frame is not None]


def _frame(camera: NewCamera, shot: Shot, tally: Tally, *, live: bool) -> pb.Frame | None:
    try:
        with metrics.STAGE_SECONDS.labels("encode").time():
            jpeg, width, height = encode(shot.image, camera.settings)
    except cv2.error:  # such as wider than JPEG can say
        tally.drop("bad_image")
        return None
    frame = pb.Frame(
        camera_id=camera.camera_id,
        site_id=camera.site_id,
        sequence=shot.sequence,
        captured_at_us=shot.captured_at_us,
        jpeg=jpeg,
        width=width,
        height=height,
        motion_event_id=shot.event.event_id,
        first_in_event=shot.first,
        last_in_event=shot.last,
        live=live,
    )
    if frame.ByteSize() + _OVERHEAD > topics.frames(camera.fleet).max_record_bytes:
        tally.drop("too_large")
        return None
    return frame


def announcement(camera: NewCamera, kind: pb.MotionEvent.Kind, event: Event) -> Out:
    """The record that says that an event has started, or ended."""
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
    return Out(
        topics.MOTION_EVENTS.name,
        camera.camera_id,
        message.SerializeToString(),
        message.at_us // 1000,
    )


def encode(image: BGRImage, settings: CameraSettings) -> tuple[bytes, int, int]:
    """A picture (H x W x 3, BGR) as JPEG, no wider than set; with its width and height."""
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
