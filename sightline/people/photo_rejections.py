"""Reasons for which a photo is refused, stable for programs."""

from enum import StrEnum


class Reason(StrEnum):
    """The `reason` of a PhotoError.

    The first group are the reasons of Rekognition's IndexFaces, the second the names of its
    exceptions, the third are our own.
    """

    EXCEEDS_MAX_FACES = "EXCEEDS_MAX_FACES"
    """More than one face, so that it is unclear who is meant."""
    SMALL_BOUNDING_BOX = "SMALL_BOUNDING_BOX"
    LOW_SHARPNESS = "LOW_SHARPNESS"
    EXTREME_POSE = "EXTREME_POSE"
    LOW_BRIGHTNESS = "LOW_BRIGHTNESS"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    """A detector score too low for a face."""
    LOW_FACE_QUALITY = "LOW_FACE_QUALITY"
    """A face cut by the picture's edge, overexposed, drawn, or poor in several ways at once."""

    INVALID_IMAGE_FORMAT = "INVALID_IMAGE_FORMAT"
    """An empty or damaged file, or an unsupported format."""
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"

    NO_PHOTO = "NO_PHOTO"
    """A missing photo file."""
    NO_FACE = "NO_FACE"
    ANIMATED = "ANIMATED"
    """Several pictures in one file, so that it is unclear which is meant."""
    FACES_DISAGREE = "FACES_DISAGREE"
    """Photos of one person that show different people."""
    ALREADY_ENROLLED = "ALREADY_ENROLLED"
    """A face that another person is enrolled with."""
    TOO_MANY_PHOTOS = "TOO_MANY_PHOTOS"
