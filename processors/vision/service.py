"""The vision service: frames of a fleet → detect, follow, pick shots, embed → tracks, faces,
snapshots. Outputs, state and the input's offsets are one transaction."""

import logging

import cv2

from processors.vision.processor import VisionProcessor
from processors.vision.settings import VisionSettings
from schemas import naming, topics
from sightline.models.packs import ModelPack, load_pack
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import member_config, producer_config, worker_id
from sightline.streaming.transform_loop import TransformLoop

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Work until told to stop; as many processes as wanted share a fleet's cameras."""
    stop = start_service("vision", settings)
    cv2.setNumThreads(1)  # workers are processes, one for each core
    group = naming.vision_group(settings.fleet, settings.run)
    worker = worker_id(settings, group)
    state = naming.of_run(topics.vision_state(settings.fleet), settings.run)
    apply_topics(settings, [state])
    pack = load_pack(settings)
    log.info("vision: model pack %s on %s", pack.id, settings.provider)
    loop = TransformLoop(
        "vision",
        _processor(pack, settings),
        [topics.frames(settings.fleet).name],
        member_config(settings, worker, group),
        producer_config(settings, worker, transactional_id=worker),
        batch_records=VisionSettings.of(settings).batch_frames,
        batch_seconds=VisionSettings.of(settings).batch_seconds,
        state_topic=state.name,
        run=settings.run,
    )
    loop.run(stop)


def _processor(pack: ModelPack, settings: Settings) -> VisionProcessor:
    if settings.run == topics.LIVE:
        return VisionProcessor(pack, settings)
    from processors.vision.window import Window  # noqa: PLC0415 - nobody else needs the database

    return VisionProcessor(pack, settings, belongs=Window.of_run(settings).holds)
