"""The face of a crop: the largest one in a picture that may show nothing but a face."""

import numpy as np

from sightline.models.interface import BGRImage, Face, FaceDetector

_GREY = 127


def find_face(image: BGRImage, detector: FaceDetector) -> Face | None:
    """Return the largest face of a crop, h x w x 3, BGR; None where there is none."""
    [faces] = detector.detect([image])
    return max(faces or _search_framed(image, detector), key=lambda face: face.area, default=None)


def _search_framed(image: BGRImage, detector: FaceDetector) -> list[Face]:
    """Find faces that fill a crop: detectors miss them without something around them."""
    height, width = image.shape[:2]
    margin = max(height, width) // 2
    framed = np.full((height + 2 * margin, width + 2 * margin, 3), _GREY, np.uint8)
    framed[margin : margin + height, margin : margin + width] = image
    [faces] = detector.detect([framed])
    return [face.moved(-margin, -margin) for face in faces]
