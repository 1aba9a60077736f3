"""The vision service: frames of a fleet to tracks, faces and snapshots.

A frame on its way, by module:

    frames.<fleet>    records of several cameras, as many as have come already (TransformLoop)
    run_filter        only of a replay: the frames of its motion events
    load_shedding     frames of a live camera are skipped that have waited too long
    frame_decoder     JPEG to pixels; a damaged picture is a dead letter
    scene_cut         a cut ends the tracks of its camera
    person detector   all frames at once                              (models.detector)
    tracking          ByteTrack, the frames of a camera in order
    face_roi          the faces of tracks that need an observation    (models.observation_policy)
    embedding         the second half, which crops of other senders go through as well:
      quality         the face is refused, or worth an embedding      (models.quality)
      face embedder   all faces at once                               (models.face_models)
    outputs           tracks, faces, snapshots                        (models.outputs)
    state             vision-state.<fleet>, for the worker that takes the camera over

`processor` has the Kafka side of it, `pipeline` the rest. Outputs, state and the offsets of the
frames are one transaction. `crop_service` is the loop beside it, for the topic `crops`.
"""

import logging

import cv2

from processors.vision.crop_service import running_crop_loop
from processors.vision.processor import VisionProcessor
from processors.vision.settings import VisionSettings
from schemas import naming, topics
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import member_config, producer_config, worker_id
from sightline.streaming.transform_loop import TransformLoop

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Work until told to stop; any number of processes share a fleet's cameras."""
    stop = start_service("vision", settings)
    cv2.setNumThreads(1)  # workers are processes, one for each core
    group = naming.vision_group(settings.fleet, settings.run)
    worker = worker_id(settings, group)
    state = naming.of_run(topics.vision_state(settings.fleet), settings.run)
    apply_topics(settings, [state])
    pack = load_pack(settings)
    log.info("vision: model pack %s on %s", pack.id, settings.provider)
    if stop.is_set():  # models take long to load
        return
    processor = _processor(pack, settings)
    loop = TransformLoop(
        "vision",
        processor,
        [topics.frames(settings.fleet).name],
        member_config(settings, worker, group),
        producer_config(settings, worker, transactional_id=worker),
        batch_records=VisionSettings.of(settings).batch_frames,
        batch_seconds=VisionSettings.of(settings).batch_seconds,
        state_topic=state.name,
        prepare=processor.prepare,
        prepare_records=pack.max_batch,
        run=settings.run,
    )
    with running_crop_loop(settings, stop):
        loop.run(stop)


def _processor(pack: ModelPack, settings: Settings) -> VisionProcessor:
    if settings.run == topics.LIVE:
        return VisionProcessor(pack, settings)
    from processors.vision.run_filter import RunFilter  # noqa: PLC0415 - only a replay has a database

    return VisionProcessor(pack, settings, is_included=RunFilter.of_run(settings).includes)
