"""The vision service: frames of a fleet → detect, follow, pick shots, embed → tracks, faces,
snapshots. Outputs and the input's offsets are one transaction."""

import logging
import uuid

import cv2

from processors.vision.processor import VisionProcessor
from schemas import topics
from sightline.kafka.config import consumer_config, producer_config
from sightline.kafka.transform import TransformLoop
from sightline.lifecycle import start_service
from sightline.settings import Settings
from sightline.vision.packs import load_pack

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Work until told to stop; as many processes as wanted share a fleet's cameras."""
    stop = start_service("vision", settings)
    cv2.setNumThreads(1)  # workers are processes, one for each core
    group = f"sightline-vision-{settings.fleet}"
    worker = f"{group}-{uuid.uuid4().hex[:12]}"
    pack = load_pack(settings)
    log.info("vision: model pack %s on %s", pack.id, settings.provider)
    loop = TransformLoop(
        "vision",
        VisionProcessor(pack, settings),
        [topics.frames(settings.fleet).name],
        consumer_config(settings, worker, group),
        producer_config(settings, worker, transactional_id=worker),
        batch_records=settings.vision.batch_frames,
        batch_seconds=settings.vision.batch_seconds,
    )
    loop.run(stop)
