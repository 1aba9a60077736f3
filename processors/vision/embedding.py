"""The second half of vision: crops of tracks' faces to observations and snapshots.

Crops that a worker has cut from its cameras' frames and crops from the topic `crops` go through
the same function. There is no clock, no input and no output here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.vision.stage_time import stage_time
from schemas import sightline_pb2 as pb
from schemas.ids import observation_id
from sightline.models import outputs
from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack
from sightline.models.observation_policy import ObservationPolicy
from sightline.models.outputs import ObservationData, Track
from sightline.models.quality import FaceQuality, assess
from sightline.runtime import metrics
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord


@dataclass(frozen=True, slots=True, eq=False)
class FaceCrop:
    """The face of a track in a picture."""

    track: Track
    frame: pb.Frame
    """Source of the observation's capture time, sequence number and frame size."""
    position: pb.Position
    """Of the record that the picture came in."""
    image: BGRImage
    """h x w x 3, BGR: the frame, or what its sender has cut out of it."""
    face: Face
    """In pixels of the image."""
    track_box: Float32Array
    """(4,) x1, y1, x2, y2 in pixels of the image."""
    accepts_turned: bool = True
    """A face turned away is embedded as well while the track has no better one."""


@dataclass(frozen=True, slots=True, eq=False)
class CropResult:
    """The records that a crop gave, or the reason why it gave none."""

    quality: FaceQuality
    refusal: str | None = None
    """Code of `FaceQuality.refusal`."""
    observation: OutputRecord | None = None
    snapshot: OutputRecord | None = None
    """Only where the picture is the best of the track's epoch so far."""
    observation_id: str = ""

    @property
    def records(self) -> list[OutputRecord]:
        """The observation and the snapshot, as far as there are any."""
        return [out for out in (self.observation, self.snapshot) if out is not None]


class CropEmbedder:
    """Measures the quality of faces and embeds those that are good enough."""

    def __init__(self, pack: ModelPack, settings: EvidenceSettings) -> None:
        self._pack = pack
        self._policy = ObservationPolicy(settings)
        self._min_px = settings.min_face_px
        self._min_quality = settings.min_quality

    def observe(self, crops: Sequence[FaceCrop]) -> list[CropResult]:
        """Return one result for each crop, in the same order; no two may be of one track.

        An embedded face counts in its track's observation state. A refused one does not: the
        caller knows how soon another look is worth it.
        """
        qualities = [assess(crop.image, crop.face) for crop in crops]
        turned = [self._is_turned_accepted(*pair) for pair in zip(crops, qualities, strict=True)]
        refusals = [
            None if is_turned else self._refusal(quality)
            for quality, is_turned in zip(qualities, turned, strict=True)
        ]
        for refusal in refusals:
            metrics.FACES.labels(refusal or "embedded").inc()
        good = [crop for crop, refusal in zip(crops, refusals, strict=True) if refusal is None]
        vectors = iter(self._embed(good))
        return [
            CropResult(quality, refusal)
            if refusal is not None
            else self._observed(crop, quality, next(vectors), is_turned)
            for crop, quality, refusal, is_turned in zip(
                crops, qualities, refusals, turned, strict=True
            )
        ]

    def _refusal(self, quality: FaceQuality) -> str | None:
        return quality.refusal(self._min_px, self._min_quality)

    def _is_turned_accepted(self, crop: FaceCrop, quality: FaceQuality) -> bool:
        return (
            crop.accepts_turned
            and self._refusal(quality) == "turned"
            and self._policy.is_turned_useful(crop.track.observations)
        )

    def _embed(self, crops: Sequence[FaceCrop]) -> list[Float32Array]:
        if not crops:
            return []
        metrics.EMBEDDINGS.inc(len(crops))
        with stage_time("embed", len(crops)):
            return list(self._pack.embedder.embed([(crop.image, crop.face) for crop in crops]))

    def _observed(
        self, crop: FaceCrop, quality: FaceQuality, vector: Float32Array, is_turned: bool
    ) -> CropResult:
        name, policy_state = crop.track.properties, crop.track.observations
        at_us = crop.frame.captured_at_us
        observed = ObservationData(
            crop.face, quality, crop.track_box, policy_state.epoch, self._pack.id, vector
        )
        observation = outputs.observation(crop.track, crop.frame, crop.position, observed)
        snapshot = None
        if self._policy.record_observation(policy_state, at_us, quality.overall, turned=is_turned):
            picture = outputs.head_and_shoulders(crop.image, crop.face)
            snapshot = outputs.snapshot(
                crop.track, crop.frame, crop.position, picture, quality.overall
            )
        return CropResult(
            quality,
            observation=observation,
            snapshot=snapshot,
            observation_id=observation_id(name.track_id, at_us),
        )
