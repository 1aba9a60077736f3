"""The second loop of a vision worker: the topic `crops` → embed → faces, snapshots, outcomes.

It has a consumer group and transactions of its own, and models of its own: a crop does not wait
for the frames of cameras.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from processors.vision.crop_processor import CropProcessor
from processors.vision.settings import VisionSettings
from schemas.naming import crops_group
from schemas.topics import CROP_STATE, CROPS, DEFAULT_FLEET, LIVE
from sightline.models.packs import load_pack
from sightline.runtime.health import MAIN, Health
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import member_config, producer_config, worker_id
from sightline.streaming.topic_reader import fetch_watermarks
from sightline.streaming.transform_loop import TransformLoop

_LOOP = "crops"
_BATCH_SECONDS = 0.005
"""Crops of one frame come together; clients wait for the answer."""
_FORWARD_SECONDS = 3600.0
"""Of one wait for the wish to stop."""


class CropLoopHealth(Health):
    """The health of the second loop as a part of its service's."""

    def __init__(self, service: Health) -> None:
        """Make the service wait until the loop serves as well."""
        super().__init__()
        self._service = service
        service.mark_unavailable(_LOOP)

    def beat(self, loop: str = MAIN) -> None:
        """Note that the loop goes on."""
        self._service.beat(_LOOP if loop == MAIN else loop)

    def mark_ready(self) -> None:
        """Note that the loop serves."""
        self._service.mark_available(_LOOP)

    def mark_unavailable(self, dependency: str) -> None:
        """Note that the loop waits for a dependency."""
        self._service.mark_unavailable(f"{dependency} ({_LOOP})")

    def mark_available(self, dependency: str) -> None:
        """Note that the loop no longer waits for a dependency."""
        self._service.mark_available(f"{dependency} ({_LOOP})")


@contextmanager
def running_crop_loop(settings: Settings, stop: Stop) -> Iterator[None]:
    """Embed crops in a thread for as long as the context lasts.

    Workers of the live run and of the default fleet do: the models of other fleets may be others,
    and a replay has no crops. Where the loop fails `stop` is requested, and its error is raised
    at the end of the context.
    """
    if settings.run != LIVE or settings.fleet != DEFAULT_FLEET:
        yield
        return
    own = Stop(settings.shutdown_seconds, CropLoopHealth(stop.health))
    stop.health.beat(_LOOP)  # from now on it is expected to go on
    threading.Thread(target=_forward, args=(stop, own), name="crops stop", daemon=True).start()
    with ThreadPoolExecutor(1, _LOOP) as executor:
        loop = executor.submit(_run, settings, own)
        loop.add_done_callback(lambda _: stop.request())  # neither loop goes on without the other
        try:
            yield
        finally:
            stop.request()
        stop.health.end_loop(_LOOP)
        loop.result()


def _forward(stop: Stop, own: Stop) -> None:
    """Pass the wish to stop on to the second loop."""
    while not stop.wait(_FORWARD_SECONDS):
        pass
    own.request()


def _run(settings: Settings, stop: Stop) -> None:
    processor = CropProcessor(lambda: load_pack(settings), settings.evidence)
    has_crops = any(end > 0 for _, end in fetch_watermarks(settings, CROPS.name).values())
    if has_crops and not stop.is_set():
        processor.load()  # where there have been crops, the next one does not wait for the models
    group = crops_group()
    worker = worker_id(settings, group)
    loop = TransformLoop(
        "vision",
        processor,
        [CROPS.name],
        member_config(settings, worker, group),
        producer_config(settings, worker, transactional_id=worker) | {"linger.ms": 0},
        batch_records=VisionSettings.of(settings).batch_frames,
        batch_seconds=_BATCH_SECONDS,
        state_topic=CROP_STATE.name,
    )
    loop.run(stop)
