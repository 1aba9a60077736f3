"""The stage behind the topic `crops`: crops and the tracks they belong to, to observations.

The sender of a crop has done the first half of vision: it follows the track and has cut its face
out. Everything that no pixel of the frame is needed for is done here, as for a camera's frames.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from processors.vision.crop_faces import find_face
from processors.vision.crop_state import restore_crop_track, save_crop_track
from processors.vision.crop_tracks import CropTracks
from processors.vision.embedding import CropEmbedder, CropResult, FaceCrop
from processors.vision.followed_track import UnusableStateError
from processors.vision.frame_decoder import decode_picture
from processors.vision.track_presence import TrackPresence
from schemas import sightline_pb2 as pb
from schemas.naming import crop_track_key
from schemas.topics import CROP_OUTCOMES, CROP_STATE
from sightline.models.interface import ModelPack
from sightline.models.observation_policy import ObservationPolicy
from sightline.models.outputs import Track
from sightline.models.presence import NO_FACE
from sightline.runtime import metrics
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord, Partition, Record

log = logging.getLogger(__name__)

LATE = "late"

_IDLE_FACTOR = 2
"""A sender says itself when a track is over. Where it has died its tracks end after so many times
`vision.settled_seconds`, which is how long it may leave a settled track without a crop."""

_Touched = tuple[Partition, str, int]
"""A track by its partition, its camera and the sender's number."""


class _Models(NamedTuple):
    pack: ModelPack
    embedder: CropEmbedder
    presence: TrackPresence


class CropProcessor:
    """Crops to observations, snapshots and outcomes, with the state of each track."""

    def __init__(self, load: Callable[[], ModelPack], settings: EvidenceSettings) -> None:
        """Make the stage; `load` is called with the first crop at the latest."""
        self._load_pack = load
        self._settings = settings
        self._policy = ObservationPolicy(settings)
        self._idle_us = round(_IDLE_FACTOR * settings.reverify_seconds * US_PER_SECOND)
        self._models: _Models | None = None
        self._tracks: dict[Partition, CropTracks] = {}
        self._touched: dict[_Touched, tuple[int, int]] = {}
        """Tracks whose state has changed: offset behind the crop, and its milliseconds."""

    def load(self) -> _Models:
        """Load the models unless they are loaded, and return them with the stages that use them."""
        if self._models is None:
            pack = self._load_pack()
            log.info("vision: model pack %s for crops", pack.id)
            self._models = _Models(
                pack, CropEmbedder(pack, self._settings), TrackPresence(pack.id, self._settings)
            )
        return self._models

    def process(self, record: Record) -> Iterator[OutputRecord]:
        """Yield the records of a crop.

        Raises:
            InvalidRecord: The record is no crop. For a crop whose picture is bad this comes after
                its outcome.
        """
        crop = record.decode(pb.Crop)
        if record.retry_for is not None:
            # A dead letter's crop, whose moment is over: it changes nothing.
            decode_picture(pb.Frame(jpeg=crop.jpeg))
            return
        tracks = self._tracks_of((record.topic, record.partition))
        for idle in tracks.idle(crop.camera_id, crop.captured_at_us):
            yield from self._ended(record, crop, idle)
        if crop.track_ended:
            yield from self._end(tracks, record, crop)
            return
        yield from self._process_crop(tracks, record, crop)
        for surplus in tracks.surplus():
            yield from self._ended(record, crop, surplus)

    def state(self) -> Iterator[OutputRecord]:
        """Yield the state of each track with a new crop; a tombstone where the track is over."""
        touched, self._touched = self._touched, {}
        for (partition, camera_id, number), (next_offset, at_ms) in touched.items():
            track = self._tracks_of(partition).find(camera_id, number)
            value = None if track is None else save_crop_track(track, next_offset)
            key = crop_track_key(camera_id, number)
            yield OutputRecord(CROP_STATE.name, key, value, at_ms, partition[1])

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        """Take over a track that another worker has followed."""
        tracks = self._tracks_of(partition)
        if record.value is None:
            camera_id, _, number = (record.key or b"").decode(errors="replace").rpartition("|")
            before = tracks.find(camera_id, int(number)) if number.isdigit() else None
            if before is not None:
                tracks.remove(before)
            return
        try:
            tracks.put(restore_crop_track(record.value, next_offset))
        except UnusableStateError as error:
            metrics.DEAD_LETTERS.labels("vision", "unusable_state").inc()
            log.warning("vision: a track of crops begins anew: %s", error)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the tracks of partitions that another worker has now."""
        lost = set(partitions)
        for partition in lost:
            self._tracks.pop(partition, None)
        self._touched = {key: at for key, at in self._touched.items() if key[0] not in lost}

    def _process_crop(
        self, tracks: CropTracks, record: Record, crop: pb.Crop
    ) -> Iterator[OutputRecord]:
        before = tracks.find(crop.camera_id, crop.track_number)
        if before is not None and crop.captured_at_us <= before.seen_us:
            # The sender's clock was set back, or two senders use one number.
            yield _outcome(record, crop, before, refusal=LATE)
            return
        track = tracks.follow(crop)
        track.seen_us = crop.captured_at_us
        track.frames += 1
        self._touch(record, crop, track)
        if not self._is_due(track, crop):
            metrics.EMBEDDINGS_SAVED.inc()
            yield _outcome(record, crop, track)
            return
        try:
            result = self._observe(track, record, crop)
        except PoisonRecord as error:
            yield _outcome(record, crop, track, refusal=error.reason)
            raise
        if result is None:
            yield _outcome(record, crop, track, refusal=NO_FACE)
            return
        if result.refusal is not None:
            yield _outcome(
                record, crop, track, refusal=result.refusal, face_px=result.quality.size_px
            )
            return
        # Twice where the sender waits: the matcher repeats its decision for an observation that
        # comes again, so there is an answer also where the first one changes nothing.
        yield from result.records
        if crop.reply and result.observation is not None:
            yield result.observation
        yield _outcome(record, crop, track, observation_id=result.observation_id)

    def _is_due(self, track: Track, crop: pb.Crop) -> bool:
        """Return whether a crop is looked at: a sender without a decision gets one."""
        at_us = crop.captured_at_us
        settled = self._policy.is_settled(track.observations, at_us)  # may begin the next epoch
        has_decision = not crop.reply or crop.decided_track_id == track.properties.track_id
        return not has_decision or (not settled and self._policy.is_due(track.observations, at_us))

    def _observe(self, track: Track, record: Record, crop: pb.Crop) -> CropResult | None:
        """Return what the crop's face gave; None where it has none."""
        pack, embedder, _ = self.load()
        with metrics.STAGE_SECONDS.labels("decode").time():
            image = decode_picture(pb.Frame(jpeg=crop.jpeg))
        metrics.FACE_DETECTIONS.inc()
        with metrics.STAGE_SECONDS.labels("faces").time():
            face = find_face(image, pack.faces)
        if face is None:
            track.presence.add_attempt(NO_FACE)
            return None
        height, width = image.shape[:2]
        # The frame's size is left out: the crop's place in it is not known.
        frame = pb.Frame(captured_at_us=crop.captured_at_us, sequence=track.frames)
        box = np.array([0, 0, width, height], np.float32)
        # A sender that waits is told of a face turned away, and sends a better one.
        face_crop = FaceCrop(
            track, frame, record.position, image, face, box, accepts_turned=not crop.reply
        )
        [result] = embedder.observe([face_crop])
        track.presence.add_detection(box, face.score, frame)
        track.presence.add_attempt(result.refusal, result.quality.size_px)
        return result

    def _end(self, tracks: CropTracks, record: Record, crop: pb.Crop) -> Iterator[OutputRecord]:
        track = tracks.find(crop.camera_id, crop.track_number)
        if track is None or crop.captured_at_us < track.seen_us:
            return  # another sender follows the track
        tracks.remove(track)
        track.seen_us = crop.captured_at_us
        yield from self._ended(record, crop, track)

    def _ended(self, record: Record, crop: pb.Crop, track: Track) -> Iterator[OutputRecord]:
        self._touch(record, crop, track)
        # Without a detection nobody has seen a face of it but its sender.
        if track.presence.detections:
            yield self.load().presence.ended(track, crop.captured_at_us)

    def _touch(self, record: Record, crop: pb.Crop, track: Track) -> None:
        key = (
            (record.topic, record.partition),
            track.properties.camera_id,
            track.properties.number,
        )
        self._touched[key] = (record.offset + 1, crop.captured_at_us // 1000)

    def _tracks_of(self, partition: Partition) -> CropTracks:
        return self._tracks.setdefault(partition, CropTracks(self._idle_us))


def _outcome(
    record: Record,
    crop: pb.Crop,
    track: Track,
    *,
    refusal: str = "",
    face_px: float = 0.0,
    observation_id: str = "",
) -> OutputRecord:
    policy_state = track.observations
    message = pb.CropOutcome(
        crop_id=crop.crop_id,
        camera_id=crop.camera_id,
        site_id=crop.site_id,
        captured_at_us=crop.captured_at_us,
        crop=record.position,
        track_id=track.properties.track_id,
        track_number=track.properties.number,
        observation_id=observation_id,
        refusal=refusal,
        face_px=face_px,
        next_look_us=policy_state.settled_until_us or policy_state.next_detection_us,
    )
    return OutputRecord.of(CROP_OUTCOMES, crop.camera_id, message, crop.captured_at_us)
