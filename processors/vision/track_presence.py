"""Presence of tracks as records: the end of a track, and the picture of a body without a face."""

from schemas import sightline_pb2 as pb
from sightline.models import outputs
from sightline.models.interface import BGRImage, Face, Float32Array
from sightline.models.outputs import Track
from sightline.models.presence import ConfirmationRules
from sightline.runtime import metrics
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord


class TrackPresence:
    """Makes the records that tell of a track's presence."""

    def __init__(self, pack: str, settings: EvidenceSettings) -> None:
        """Make the stage; `pack` is the id of the model pack that detects."""
        self._pack = pack
        self._rules = ConfirmationRules(settings)
        self._picture_from = settings.confirm_detections

    def ended(self, track: Track, at_us: int, *, is_in_sight: bool = False) -> OutputRecord:
        """Return the record that a track has ended at `at_us`; count one that is not confirmed.

        `is_in_sight`: its motion event is over, and it was detected to the end.
        """
        doubt = self._rules.doubt(track.presence, track.seen_us - track.properties.started_us)
        if doubt is not None:
            metrics.TRACKS_UNCONFIRMED.labels(doubt).inc()
        return outputs.track_ended(
            track, at_us, self._pack, is_confirmed=doubt is None, is_in_sight=is_in_sight
        )

    def picture(
        self,
        track: Track,
        frame: pb.Frame,
        position: pb.Position,
        image: BGRImage,
        box: Float32Array,
        score: float,
        face: Face | None,
    ) -> OutputRecord | None:
        """Return the snapshot of a track's body in a frame, if it is clearly the best so far.

        None as well for a track whose face has a snapshot, or that is too short to have a row.

        Args:
            track: The track, with this frame's detection.
            frame: Frame with the size of the image.
            position: Of the frame's record.
            image: h x w x 3, BGR.
            box: Of the detection, (4,), pixels of the image.
            score: Of the detection, 0 to 1.
            face: The track's face where faces are what is followed.
        """
        presence = track.presence
        if track.observations.snapshot_quality is not None:
            return None
        if presence.detections < self._picture_from:
            return None
        if not presence.take_picture(box, score, frame, position):
            return None
        if face is not None:
            picture = outputs.head_and_shoulders(image, face)
        else:
            picture = outputs.whole_body(image, box)
        return outputs.snapshot(
            track, frame, position, picture, presence.picture_quality, pb.EVIDENCE_KIND_BODY
        )
