"""Somebody who stands still is one track for each pack, at the reduced rate of still frames."""

from collections.abc import Iterator
from math import pi, sin

import cv2
import numpy as np
import pytest

from ops.demo.backgrounds import office
from ops.demo.demo_persons import DEMO_PERSONS, cut_out
from processors.vision.processor import VisionProcessor
from producers.event_cutter import EventCutter, EventFrame, StillRules
from producers.frame_accounting import FrameCounts
from producers.frame_messages import FrameEncoder
from producers.source_interface import CapturedPicture
from schemas import sightline_pb2 as pb
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings import Settings
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.streaming.records import Record
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models

START = 1_700_000_000 * US_PER_SECOND
WIDTH, HEIGHT = 640, 360
FPS = 4
COME, GO, END = 2.0, 40.0, 46.0


def film(sway: float) -> Iterator[BGRImage]:
    """Somebody comes in from the left, stays, and goes to the right: head and shoulders."""
    cut = cut_out(DEMO_PERSONS[1])
    scale = 320 / cut.picture.shape[0]
    room = cv2.resize(office(), (WIDTH, HEIGHT)).astype(np.float32)
    dice = np.random.default_rng(1)
    grains = dice.normal(0, 2.5, (5, HEIGHT, WIDTH, 1)).astype(np.float32)
    half = cut.picture.shape[1] * scale / 2
    for number in range(round(END * FPS)):
        second = number / FPS
        picture = room
        if second >= COME:
            x = 320 + sway * sin(2 * pi * second / 3.7)
            if second < COME + 4:
                x = (second - COME) / 4 * (320 + half) - half
            elif second >= GO:
                x = 320 + (second - GO) / 4 * (320 + half)
            pose = np.array([[scale, 0, x - half], [0, scale, HEIGHT - 312]], np.float32)
            alpha = cv2.warpAffine(cut.alpha, pose, (WIDTH, HEIGHT))[..., np.newaxis]
            colours = cv2.warpAffine(cut.picture, pose, (WIDTH, HEIGHT)).astype(np.float32)
            picture = room * (1 - alpha) + colours * alpha
        yield np.clip(picture + grains[number % 5], 0, 255).astype(np.uint8)


def published(sway: float, rules: StillRules) -> list[EventFrame]:
    cutter = EventCutter("desk", CameraSettings(), FrameCounts(), 0, rules)
    frames: list[EventFrame] = []
    for number, image in enumerate(film(sway)):
        at_us = START + number * US_PER_SECOND // FPS
        frames += cutter.process(CapturedPicture(image, at_us, last=number == END * FPS - 1))
    return frames


def test_who_stands_still_is_one_track_of_faces() -> None:
    frames = published(5, StillRules(fps=2))
    visit = [frame for frame in frames if frame.event.event_id == frames[-1].event.event_id]
    seconds = [(frame.captured_at_us - START) / US_PER_SECOND for frame in visit]
    assert seconds[0] <= COME + 1 and seconds[-1] >= GO + 2
    assert sum(frame.still for frame in visit) > 20

    processor = VisionProcessor(load_pack_of(None), Settings())
    encoder = FrameEncoder(NewCamera(camera_id="desk", uri="/x"))
    spans: dict[str, list[float]] = {}
    for offset, frame in enumerate(encoder.encode(visit, FrameCounts(), live=False)):
        record = Record(
            "frames.default", 0, offset, b"desk", frame.SerializeToString(),
            frame.captured_at_us // 1000,
        )  # fmt: skip
        for out in processor.process(record):
            if out.topic == "tracks":
                message = pb.FrameTracks.FromString(out.value or b"")
                for box in message.tracks:
                    at = (message.captured_at_us - START) / US_PER_SECOND
                    spans.setdefault(box.track_id, []).append(at)
    still = [times for times in spans.values() if any(COME + 6 < at < GO - 1 for at in times)]
    [times] = still
    assert times[0] <= COME + 5
    assert times[-1] >= GO
