"""What is to be published, into Kafka: frames, and motion events around them.

The queue to the broker is bounded. When the broker is away it fills up, and then the newest
frames are dropped and counted; what is queued waits for the broker as long as the service
lives. Motion events and closing frames find room when other frames do not.
"""

import logging
from collections import deque
from typing import Final

import cv2
import numpy as np
from confluent_kafka import KafkaError, KafkaException

from producers.events import Event, Shot
from producers.ledger import Ledger
from producers.pictures import BGRImage
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.errors import InfrastructureError
from sightline.kafka.config import producer_config
from sightline.kafka.producer import OnDelivery, SureProducer
from sightline.kafka.records import Out
from sightline.lifecycle import Stop
from sightline.settings import Settings
from sightline.store.cameras import Camera, CameraSettings

log = logging.getLogger(__name__)

_ROOM: Final = 32 * topics.MIB
"""Bytes of frames on their way to the broker: half a minute of a camera at 10 frames/s."""

_ROOM_FOR_CLOSING: Final = 48 * topics.MIB
_QUEUE_KIB: Final = 64 * 1024

_OVERHEAD: Final = 1024
"""Bytes that Kafka adds to a record at most: key, headers, batch."""

_METADATA_SECONDS: Final = 10.0
_PURGE_SECONDS: Final = 0.5


class Publisher:
    """One camera's way into Kafka, used by its thread alone."""

    def __init__(self, settings: Settings, camera: Camera, ledger: Ledger) -> None:
        self._camera = camera
        self._ledger = ledger
        self._topic = topics.frames(camera.fleet)
        self._producer = SureProducer(
            producer_config(settings, f"camera-{camera.camera_id}")
            | {
                "queue.buffering.max.kbytes": _QUEUE_KIB,
                "message.timeout.ms": 0,  # what is queued stays so, however long the broker is away
                "log_level": 3,  # errors; that a starting broker is still busy is none
            }
        )
        self._partition = camera.slot % self._partitions()
        self._queued_bytes = 0
        # In the order in which they are to be said; an event's end waits for its frames.
        self._to_say: deque[tuple[pb.MotionEvent.Kind, Event]] = deque()

    def _partitions(self) -> int:
        try:
            found = self._producer.raw.list_topics(self._topic.name, timeout=_METADATA_SECONDS)
        except KafkaException as error:
            raise InfrastructureError(f"Kafka does not answer: {error.args[0].str()}") from error
        partitions = found.topics[self._topic.name].partitions
        if not partitions:
            raise InfrastructureError(f"no topic {self._topic.name}: run `sightline topics apply`")
        return len(partitions)

    @property
    def is_full(self) -> bool:
        """The next frame would be dropped."""
        return self._queued_bytes >= _ROOM

    @property
    def is_settled(self) -> bool:
        """All that was published has been delivered."""
        return not self._queued_bytes and not self._to_say and not len(self._producer.raw)

    def publish(self, shot: Shot) -> None:
        """Send a frame, and with the first and last ones the event's start and end.

        Raises InfrastructureError when the producer can go on no more.
        """
        if shot.first:
            self._to_say.append((pb.MotionEvent.STARTED, shot.event))
            self._say()
        self._send(shot)
        if shot.last:
            self._to_say.append((pb.MotionEvent.ENDED, shot.event))
        self.poll()

    def poll(self, seconds: float = 0.0) -> None:
        """Hear what has been delivered, waiting for at most so long."""
        self._producer.poll(seconds)
        self._say()

    def close(self, stop: Stop) -> None:
        """Deliver what is queued before the stop's deadline; the rest is dropped, and counted."""
        while not self.is_settled and stop.remaining() > _PURGE_SECONDS:
            self.poll(0.05)
        if not self.is_settled:
            log.warning("%s: Kafka has not taken everything", self._camera.camera_id)
            self._producer.raw.purge()
            self._producer.raw.flush(_PURGE_SECONDS)

    def _send(self, shot: Shot) -> None:
        try:
            jpeg, width, height = encode(shot.image, self._camera.settings)
        except cv2.error:  # such as wider than JPEG can say
            self._ledger.drop("bad_image")
            return
        value = pb.Frame(
            camera_id=self._camera.camera_id,
            site_id=self._camera.site_id,
            sequence=shot.sequence,
            captured_at_us=shot.captured_at_us,
            jpeg=jpeg,
            width=width,
            height=height,
            motion_event_id=shot.event.event_id,
            first_in_event=shot.first,
            last_in_event=shot.last,
        ).SerializeToString()
        if len(value) + _OVERHEAD > self._topic.max_record_bytes:
            self._ledger.drop("too_large")
            return
        out = Out(
            self._topic.name,
            self._camera.camera_id,
            value,
            shot.captured_at_us // 1000,
            self._partition,
        )
        if self._queued_bytes >= (_ROOM_FOR_CLOSING if shot.last else _ROOM):
            self._ledger.drop("broker")
            return
        self._queued_bytes += len(value)
        shot.event.in_flight += 1
        if not self._producer.offer(out, self._reported(shot.event, len(value))):
            self._queued_bytes -= len(value)
            shot.event.in_flight -= 1
            self._ledger.drop("broker")

    def _reported(self, event: Event, size: int) -> OnDelivery:
        def reported(error: KafkaError | None) -> None:
            self._queued_bytes -= size
            event.in_flight -= 1
            if error is None:
                event.delivered += 1
                self._ledger.deliver()
            elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                self._ledger.drop("too_large")
            else:
                self._ledger.drop("broker")
                log.warning("%s: a frame was lost: %s", self._camera.camera_id, error.str())

        return reported

    def _say(self) -> None:
        while self._to_say:
            kind, event = self._to_say[0]
            if kind == pb.MotionEvent.ENDED and event.in_flight:
                return
            if not self._producer.offer(self._announcement(kind, event)):
                return
            self._to_say.popleft()

    def _announcement(self, kind: pb.MotionEvent.Kind, event: Event) -> Out:
        message = pb.MotionEvent(
            event_id=event.event_id,
            camera_id=self._camera.camera_id,
            site_id=self._camera.site_id,
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
            self._camera.camera_id,
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
