"""Verification of a track's identity by its own faces: rules without a clock, input or output.

A track belongs to one person only as long as the tracker follows one body. Each good face of a
track is compared with the template of those before it. Two faces that agree with each other and
not with the template are somebody else: the track is split. One face alone proves nothing: blur, a
hand, or a strange light make a face unlike itself.

The limits follow from the calibration of the model pack, measured on portraits of 40 people from
different times. Below the score that other people's faces reach at `_DOUBTFUL_RATE` against a
template of five faces, there was none of 3960 faces of the same person with mobilefacenet (0.13% of
faces of 38 pixels), and none of 3940 with dlib (0.03% of blurred ones).
"""

from dataclasses import dataclass
from enum import Enum

from sightline.identity.calibration import builtin_calibration
from sightline.models.interface import Float32Array
from sightline.models.outputs import Track
from sightline.models.quality import FaceQuality
from sightline.models.track_verification import VerificationState, VerifiedFace
from sightline.runtime import metrics
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings.groups import EvidenceSettings

_DOUBTFUL_RATE = 0.03
"""Part of other people's faces that are so similar to a template that they count as doubtful, and
are looked at again. The others disagree."""

_MIN_FRONTALITY = 0.5
"""Frontality from which on a face may disagree: a person's half turned face can be as unlike their
own frontal ones as another person's is."""

_MIN_FACES = 2
"""Agreeing faces from which on a track that is not settled can be split: a single one may itself be
the bad one."""

_MIN_WEIGHT = 0.05

_CONFIRM_PAUSE_US = 120_000
"""Time between a face that disagrees and the one that confirms it: another frame, so that blur or
a hand over the face does not count twice."""

_MIN_PAUSE_US = 80_000
_MAX_OWED_PAUSE_US = US_PER_SECOND
_PAUSE_GROWTH = 1.6
"""Growth of the pause after a verification without a result: a person who has turned away costs a
search for a face a second where a check is owed, one in `verify_seconds` else."""


class FaceVerdict(Enum):
    """Outcome of the comparison of a face with its track."""

    FIRST = "first"
    """Nothing to compare with."""
    AGREES = "agreed"
    DOUBTFUL = "doubtful"
    """Neither; also a face that cannot tell."""
    DISAGREES = "disagreed"
    """Of somebody else, not confirmed yet."""
    CONFIRMED = "confirmed"
    """Of somebody else: a second face says the same."""

    @property
    def is_own(self) -> bool:
        """True for a face that may be evidence of its track's identity."""
        return self in (FaceVerdict.FIRST, FaceVerdict.AGREES, FaceVerdict.DOUBTFUL)


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedCrop:
    """A face that was compared with its track, and the outcome."""

    verdict: FaceVerdict
    face: VerifiedFace


class TrackVerifier:
    """The rules; time is capture time."""

    def __init__(self, pack: str, settings: EvidenceSettings) -> None:
        """Take the limits from the built-in calibration of a pack."""
        self._calibration = builtin_calibration(pack)
        self._verify_us = round(settings.verify_seconds * US_PER_SECOND)
        self._interval_us = round(settings.interval_seconds * US_PER_SECOND)

    def suspect(self, track: Track, at_us: int, steady_us: int | None = None) -> None:
        """Note that the tracker may have changed bodies: the track is verified at once.

        A box that comes and goes costs no more embeddings than a track that is not settled.
        """
        suspect(track, at_us, steady_us, self._interval_us)

    def record_miss(self, state: VerificationState, at_us: int) -> None:
        """Note a verification without a usable face: the pause grows each time."""
        longest = self._verify_us
        if state.suspected_us is not None or state.disagreeing is not None:
            longest = min(longest, _MAX_OWED_PAUSE_US)
        pause = min(longest, _MIN_PAUSE_US * _PAUSE_GROWTH ** min(state.misses, 32))
        state.misses += 1
        state.next_us = at_us + round(pause)
        metrics.TRACK_VERIFICATIONS.labels("no_face").inc()

    def judge(
        self,
        track: Track,
        embedding: Float32Array,
        quality: FaceQuality,
        at_us: int,
        *,
        frames: int,
        is_settled: bool,
        is_ambiguous: bool = False,
    ) -> VerifiedCrop:
        """Compare a good face with its track, and bring the track's state up to date.

        Args:
            track: Track that the face was found in.
            embedding: Embedding (d,) of the face, unit length.
            quality: Its quality.
            at_us: Capture time.
            frames: Frames of the track up to this one.
            is_settled: The identity of the track is settled.
            is_ambiguous: The face may be that of another track in the frame.
        """
        state = track.verification
        weight = max(quality.overall, _MIN_WEIGHT)
        face = VerifiedFace.of(embedding, weight, at_us, frames)
        had_template = state.template is not None
        verdict = self._compared(state, face, quality, is_settled, is_ambiguous)
        if had_template:
            metrics.TRACK_VERIFICATIONS.labels(verdict.value).inc()
        return VerifiedCrop(verdict, face)

    def accept(self, state: VerificationState, face: VerifiedFace) -> None:
        """Note a face that is known to be the track's."""
        template = face if state.template is None else state.template.merged(face)
        self._agreed(state, template, state.faces + 1)

    def agrees(self, face: VerifiedFace, state: VerificationState) -> bool:
        """Return True for a face that is the person of a track with a template."""
        return state.template is not None and self._agree(face, state.template)

    def _compared(
        self,
        state: VerificationState,
        face: VerifiedFace,
        quality: FaceQuality,
        is_settled: bool,
        is_ambiguous: bool,
    ) -> FaceVerdict:
        template = state.template
        if template is None or len(template.embedding) != len(face.embedding):
            if not is_ambiguous:
                self._agreed(state, face, 1)
            return FaceVerdict.FIRST
        if self._agree(face, template):
            if is_ambiguous:
                return self._doubted(state, face.at_us)
            self.accept(state, face)
            return FaceVerdict.AGREES
        if is_ambiguous or quality.frontality < _MIN_FRONTALITY:
            return self._doubted(state, face.at_us)
        before = state.disagreeing
        if state.faces < _MIN_FACES and not is_settled:
            # The first face was the bad one where the next two agree with each other.
            state.disagreeing = face
            if before is not None and self._agree(before, face):
                self._agreed(state, before.merged(face), 2)
            return FaceVerdict.DOUBTFUL
        if before is not None and self._agree(before, face):
            return FaceVerdict.CONFIRMED
        if template.cosine(face) >= self._disagreement_limit(state.faces):
            return self._doubted(state, face.at_us)
        state.disagreeing = face
        self._put_off(state, face.at_us, _CONFIRM_PAUSE_US)
        return FaceVerdict.DISAGREES

    def _agree(self, face: VerifiedFace, other: VerifiedFace) -> bool:
        return face.cosine(other) >= self._calibration.agree

    def _disagreement_limit(self, faces: int) -> float:
        return self._calibration.threshold_at(max(faces, 1), _DOUBTFUL_RATE)

    def _agreed(self, state: VerificationState, template: VerifiedFace, faces: int) -> None:
        state.template, state.faces = template, faces
        state.disagreeing = state.suspected_us = state.steady_us = None
        state.steady_frames = 0
        state.misses = 0
        state.next_us = template.at_us + self._verify_us

    def _doubted(self, state: VerificationState, at_us: int) -> FaceVerdict:
        self._put_off(state, at_us, _MIN_PAUSE_US)
        return FaceVerdict.DOUBTFUL

    def _put_off(self, state: VerificationState, at_us: int, first_us: int) -> None:
        pause = min(self._verify_us, first_us * _PAUSE_GROWTH ** min(state.misses, 32))
        state.misses += 1
        state.next_us = at_us + round(pause)


def is_verification_due(state: VerificationState, at_us: int) -> bool:
    """Return True when a settled track is to be verified."""
    return state.template is not None and at_us >= state.next_us


def suspect(track: Track, at_us: int, steady_us: int | None = None, interval_us: int = 0) -> None:
    """Note that a track may have changed bodies; it is verified at once.

    Args:
        track: Track with or without a template.
        at_us: Capture time at which it may be another body.
        steady_us: Capture time up to which it was followed without doubt; None: up to its last
            face that agreed.
        interval_us: Time after that face before which it is not verified.
    """
    state = track.verification
    if state.template is None:
        return
    if state.steady_us is None:
        state.steady_us, state.steady_frames = state.template.at_us, state.template.frames
        if steady_us is not None and steady_us > state.template.at_us:
            state.steady_us, state.steady_frames = steady_us, track.frames
    state.suspected_us = at_us
    state.next_us = max(at_us, state.template.at_us + interval_us)
    state.misses = 0


def begin_second_part(state: VerificationState, confirming: VerifiedFace) -> VerificationState:
    """Return the state of a split track's second part, whose faces are the two that disagreed."""
    before = state.disagreeing
    if before is None:
        raise ValueError("a track without a face that disagrees is not split")
    return VerificationState(
        template=before.merged(confirming), faces=2, overlaps=state.overlaps, unseen=state.unseen
    )
