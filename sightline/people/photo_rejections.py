"""Why a photo is refused, in words that programs can rely on."""

from enum import StrEnum


class Reason(StrEnum):
    """The `reason` of a PhotoError.

    The first group are the words of Rekognition's IndexFaces, the second the names of its
    exceptions; the third says what it has no word for.
    """

    EXCEEDS_MAX_FACES = "EXCEEDS_MAX_FACES"
    """More than one face: nobody could say whose photo it is."""
    SMALL_BOUNDING_BOX = "SMALL_BOUNDING_BOX"
    LOW_SHARPNESS = "LOW_SHARPNESS"
    EXTREME_POSE = "EXTREME_POSE"
    LOW_BRIGHTNESS = "LOW_BRIGHTNESS"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    """The detector is not sure that this is a face."""
    LOW_FACE_QUALITY = "LOW_FACE_QUALITY"
    """Cut by the picture's edge, overexposed, drawn, or poor in several ways at once."""

    INVALID_IMAGE_FORMAT = "INVALID_IMAGE_FORMAT"
    """Empty, damaged, or no picture of a kind that is read."""
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"

    NO_PHOTO = "NO_PHOTO"
    """No file was given, or none is there."""
    NO_FACE = "NO_FACE"
    ANIMATED = "ANIMATED"
    """Several pictures in one file: nobody could say which is meant."""
    FACES_DISAGREE = "FACES_DISAGREE"
    """The photos of one person show different people."""
    ALREADY_ENROLLED = "ALREADY_ENROLLED"
    """Somebody else is enrolled with this face."""
    TOO_MANY_PHOTOS = "TOO_MANY_PHOTOS"
