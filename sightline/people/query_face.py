"""Query faces: held to the quality of observations, not to that of enrolment photos."""

from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack
from sightline.models.quality import assess
from sightline.people.photo_rejections import Reason
from sightline.people.photos import REASON_BY_VIOLATION, detect_only_face
from sightline.people.picture_files import Photo, to_upright_jpeg
from sightline.runtime.errors import PhotoError
from sightline.runtime.settings import Settings


def query_face_of_photo(photo: Photo, pack: ModelPack, settings: Settings) -> Float32Array:
    """Return the embedding (d,) of the one face of a photo, of unit length. Raises PhotoError."""
    image, face = detect_only_face(to_upright_jpeg(photo), photo.label, pack)
    return checked_query_face(image, face, photo.label, pack, settings)


def checked_query_face(
    image: BGRImage, face: Face, label: str, pack: ModelPack, settings: Settings
) -> Float32Array:
    """Check a face of an image (H x W x 3, BGR); return its embedding. Raises PhotoError."""
    quality = assess(image, face)
    refusal = quality.refusal(settings.evidence.min_face_px, settings.evidence.min_quality)
    if refusal is not None:
        raise refused_face_error(label, refusal, quality.size_px)
    [embedding] = pack.embedder.embed([(image, face)])
    return embedding


def refused_face_error(label: str, refusal: str, face_px: float) -> PhotoError:
    """Return the error for a picture that vision has refused.

    `refusal` is one of the codes of `FaceQuality.refusal` or of the outcome of a crop, `face_px`
    the shorter side of the face.
    """
    if refusal == "no_face":
        return PhotoError(Reason.NO_FACE, f"{label}: no face found")
    if refusal in ("bad_jpeg", "bad_size"):
        return PhotoError(Reason.INVALID_IMAGE_FORMAT, f"{label}: the picture is damaged")
    detail = f"{label}: the face is not good enough: {refusal}, {face_px:.0f} px"
    return PhotoError(REASON_BY_VIOLATION.get(refusal, Reason.LOW_FACE_QUALITY), detail)
