"""Quality checks and embedding of enrolment photos.

The checks are stricter than those of observations: a template in the gallery is compared with
every face for years, and a bad one causes false matches.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.models.interface import BGRImage, Face, ModelPack
from sightline.models.quality import FaceQuality, QualityLimits, assess, flatness
from sightline.people.photo_rejections import Reason
from sightline.people.picture_files import Photo, to_upright_jpeg
from sightline.runtime.errors import PhotoError
from sightline.runtime.settings import Settings

# Measured on 400 ORL portraits and four photos of celebrities, with SCRFD and with dlib: of
# these portraits 99% have a sharpness over .51, a frontality over .53, a detector score over .67,
# a mean grey between .32 and .68.
MIN_FACE_PX = 40.0
"""Shorter side of the face in pixels. Faces of 22 px have led to false matches."""
MAX_FLATNESS = 0.65
"""Fraction of a face's pixels that equal their neighbour: .05 to .3 in photos, .5 in an enlarged
or nearly black photo, .7 to .8 in drawn and painted faces of plain colours. A pencil sketch is not
detected."""

_LIMITS = QualityLimits(
    min_px=MIN_FACE_PX,
    # A noisy dark photo has a cosine to the bright one of .74 here, .58 at .09; overexposed photos
    # of .73 to .85 here, .48 to .61 at .96. Both are mean grey.
    min_brightness=0.12,
    max_brightness=0.88,
    min_sharpness=0.3,
    min_score=0.6,
    min_frontality=0.35,
)

REASON_BY_VIOLATION = {
    "small": Reason.SMALL_BOUNDING_BOX,
    "cut": Reason.LOW_FACE_QUALITY,
    "dark": Reason.LOW_BRIGHTNESS,
    "overexposed": Reason.LOW_FACE_QUALITY,
    "blurred": Reason.LOW_SHARPNESS,
    "uncertain": Reason.LOW_CONFIDENCE,
    "turned": Reason.EXTREME_POSE,
}
"""Reason of a PhotoError for each violation of quality limits."""

_ADVICE = {
    "small": "the face is {px:.0f} pixels wide, {min_px:.0f} are needed; go nearer",
    "cut": "the edge of the photo cuts the face; give one with some room around it",
    "dark": "the face is too dark; give a photo with more light on it",
    "overexposed": "the face is overexposed; give a photo with less light",
    "blurred": "the face is blurred; give a sharper photo",
    "uncertain": "it is not certain that this is a face; give another photo",
    "turned": "the face is turned away; give a photo from the front",
}


_TURNS = {
    cv2.ROTATE_90_CLOCKWISE: "the photo lies on its side: turn it to the right by 90 degrees",
    cv2.ROTATE_90_COUNTERCLOCKWISE: "the photo lies on its side: turn it to the left by 90 degrees",
    cv2.ROTATE_180: "the photo is upside down: turn it",
}

_MIN_SCORE_GAIN = 0.2
"""Difference of the detector's scores above which a turned photo shows the face better."""


@dataclass(frozen=True, eq=False)
class PhotoTemplate:
    """An enrolment photo as JPEG, with its embedding and quality."""

    jpeg: bytes
    embedding: NDArray[np.float32]  # (d,), unit length
    quality: float  # 0 to 1
    label: str = ""
    """Name of the photo in messages."""


def template_of_photo(photo: Photo, pack: ModelPack, settings: Settings) -> PhotoTemplate:
    """Check and embed a photo of exactly one face.

    Raises PhotoError with the photo's label and a remedy.
    """
    return template_of_jpeg(to_upright_jpeg(photo), photo.label, pack, settings)


def template_of_jpeg(jpeg: bytes, label: str, pack: ModelPack, settings: Settings) -> PhotoTemplate:
    """Check and embed a photo that is normalised already. Raises PhotoError."""
    image, face = detect_only_face(jpeg, label, pack)
    quality = assess(image, face)
    rejection = photo_refusal(quality, max(MIN_FACE_PX, settings.evidence.min_face_px))
    if rejection is None and flatness(image, face.box) > MAX_FLATNESS:
        rejection = Reason.LOW_FACE_QUALITY, "the face is drawn, not photographed; give a photo"
    if rejection is not None:
        reason, remedy = rejection
        advice = turning_advice(image, pack, face.score)
        raise PhotoError(reason, f"{label}: {advice or remedy}")
    [embedding] = pack.embedder.embed([(image, face)])
    return PhotoTemplate(jpeg, embedding, float(quality.overall), label)


def detect_only_face(jpeg: bytes, label: str, pack: ModelPack) -> tuple[BGRImage, Face]:
    """Detect the only face of a normalised photo; return the image (H x W x 3, BGR) and the face.

    Raises PhotoError: NO_FACE, EXCEEDS_MAX_FACES, INVALID_IMAGE_FORMAT.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise PhotoError(Reason.INVALID_IMAGE_FORMAT, f"{label}: the stored photo is damaged")
    pixels = np.asarray(image, dtype=np.uint8)
    [faces] = pack.faces.detect([pixels])
    if not faces:
        advice = turning_advice(pixels, pack) or "give a photo of the face, seen from the front"
        raise PhotoError(Reason.NO_FACE, f"{label}: no face found; {advice}")
    if len(faces) > 1:
        raise PhotoError(
            Reason.EXCEEDS_MAX_FACES,
            f"{label}: {len(faces)} faces found; cut the photo so that it shows exactly one",
        )
    return pixels, faces[0]


def turning_advice(image: BGRImage, pack: ModelPack, score: float = 0.0) -> str | None:
    """Return how to turn a photo (H x W x 3, BGR) that is not upright; None if it seems to be.

    `score` is the detector's score of the face as the photo is.
    """
    best = score + _MIN_SCORE_GAIN
    advice = None
    for turn, text in _TURNS.items():
        [faces] = pack.faces.detect([np.asarray(cv2.rotate(image, turn), np.uint8)])
        highest = max((face.score for face in faces), default=0.0)
        if highest >= best:
            best, advice = highest, text
    return advice


def photo_refusal(quality: FaceQuality, min_px: float = MIN_FACE_PX) -> tuple[Reason, str] | None:
    """Return the reason and a remedy for a face too poor for the gallery, or None."""
    violation = quality.violation(replace(_LIMITS, min_px=min_px))
    if violation is None:
        return None
    advice = _ADVICE[violation].format(px=quality.size_px, min_px=min_px)
    return REASON_BY_VIOLATION[violation], advice
