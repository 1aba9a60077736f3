"""Persons of the demo's films, cut out of pictures that our dependencies install.

The outlines are marked by hand on those pictures, so the ground truth of a film depends on no
model.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.demo.truth import Box, FilmPerson
from sightline.runtime.errors import SightlineError

_FEATHER_PX = 1.5
_PHOTO_MARGIN = 0.6  # share of the face's size, on each side
_PHOTO_FACE_PX = 220

Image = NDArray[np.uint8]
Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PackagePicture:
    """Picture file inside a package, with its height and width: outlines fit no other."""

    package: str
    path: str
    shape: tuple[int, int]

    def load(self) -> Image:
        """Return the picture, (h, w, 3) BGR. Raises SightlineError if it differs or is missing."""
        spec = find_spec(self.package)
        folders = (spec.submodule_search_locations if spec else None) or ()
        for folder in folders:
            picture = cv2.imread(str(Path(folder) / self.path), cv2.IMREAD_COLOR)
            if picture is not None and picture.shape[:2] == self.shape:
                return picture.astype(np.uint8, copy=False)
        raise SightlineError(
            f"the installed {self.package} does not bring {self.path}, which the demo's films are "
            "made of: install the locked packages, or give films with --video"
        )


@dataclass(frozen=True, slots=True)
class DemoPerson(FilmPerson):
    """Person of the cast; coordinates are pixels of the picture."""

    picture: PackagePicture
    face: tuple[int, int, int, int]  # x1, y1, x2, y2
    outline: tuple[Point, ...]


_GROUP = PackagePicture("insightface", "data/images/t1.jpg", (886, 1280))
_ASTRONAUT = PackagePicture("skimage", "data/astronaut.png", (512, 512))
_OFFICER = PackagePicture("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (600, 512))

DEMO_PERSONS = (
    DemoPerson(
        "Ana Lima", True, _GROUP, (63, 277, 171, 392),
        ((95, 231), (66, 243), (36, 285), (22, 345), (20, 425), (0, 432), (0, 700), (110, 690),
         (165, 640), (235, 625), (290, 655), (306, 625), (296, 560), (270, 500), (258, 478),
         (254, 430), (228, 382), (189, 384), (186, 335), (165, 280), (138, 245)),
    ),
    DemoPerson(
        "Ben Archer", True, _GROUP, (456, 284, 577, 420),
        ((466, 300), (464, 255), (488, 224), (535, 219), (585, 232), (609, 270), (600, 320),
         (580, 370), (558, 410), (580, 450), (608, 478), (618, 470), (612, 415), (640, 398),
         (680, 445), (672, 490), (620, 555), (560, 592), (500, 622), (430, 640), (342, 640),
         (340, 470), (360, 412), (440, 372), (466, 345)),
    ),
    DemoPerson(
        "Carl Weber", True, _GROUP, (738, 355, 846, 478),
        ((745, 345), (747, 312), (775, 292), (830, 290), (868, 315), (877, 352), (868, 398),
         (905, 402), (915, 480), (926, 560), (916, 612), (850, 600), (700, 600), (642, 552),
         (664, 484), (712, 437), (752, 416), (748, 380)),
    ),
    DemoPerson(
        "Ella Quist", True, _GROUP, (1122, 280, 1228, 398),
        ((1128, 300), (1140, 262), (1180, 234), (1225, 248), (1254, 295), (1265, 360),
         (1262, 438), (1280, 445), (1280, 680), (1240, 690), (1190, 650), (1085, 655),
         (1085, 600), (1040, 590), (1000, 560), (984, 500), (1010, 450), (1040, 428),
         (1085, 430), (1122, 418), (1122, 350)),
    ),
    DemoPerson(
        "unknown in orange", False, _ASTRONAUT, (176, 78, 272, 178),
        ((153, 85), (158, 50), (190, 20), (235, 14), (275, 28), (301, 65), (298, 105), (278, 128),
         (266, 168), (288, 185), (304, 225), (303, 245), (335, 258), (352, 300), (362, 348),
         (330, 350), (300, 374), (285, 410), (30, 410), (40, 330), (50, 262), (90, 225),
         (115, 208), (118, 182), (150, 154), (182, 148), (176, 125)),
    ),
    DemoPerson(
        "unknown in uniform", False, _OFFICER, (164, 132, 362, 335),
        ((150, 132), (152, 105), (178, 88), (198, 48), (240, 25), (295, 25), (340, 50), (352, 85),
         (372, 96), (370, 150), (377, 195), (364, 262), (336, 305), (332, 322), (400, 360),
         (488, 395), (500, 420), (512, 500), (512, 600), (14, 600), (28, 450), (58, 385),
         (190, 338), (202, 312), (178, 288), (158, 245), (150, 195)),
    ),
)  # fmt: skip
"""Four persons who are enrolled and two who are not; the names are invented."""


@dataclass(frozen=True, slots=True)
class CutOut:
    """Person without background."""

    picture: Image  # (h, w, 3) BGR
    alpha: NDArray[np.float32]  # (h, w), 0 to 1
    face: Box  # in the cut-out


def cut_out(member: DemoPerson) -> CutOut:
    """Cut a person out of their picture, with soft edges."""
    picture = member.picture.load()
    outline = np.asarray(member.outline, np.int32)
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [outline], 255)
    alpha = cv2.GaussianBlur(mask, (0, 0), _FEATHER_PX).astype(np.float32) / 255
    (x1, y1), (x2, y2) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    left, top, right, bottom = member.face
    return CutOut(
        np.ascontiguousarray(picture[y1:y2, x1:x2]),
        np.ascontiguousarray(alpha[y1:y2, x1:x2]),
        (left - x1, top - y1, right - x1, bottom - y1),
    )


def enrolment_photo(member: DemoPerson) -> Image:
    """Return a photo to enrol a person with: head and margin, (h, w, 3) BGR."""
    picture = member.picture.load()
    x1, y1, x2, y2 = member.face
    dx, dy = round((x2 - x1) * _PHOTO_MARGIN), round((y2 - y1) * _PHOTO_MARGIN)
    crop = picture[max(0, y1 - dy) : y2 + dy, max(0, x1 - dx) : x2 + dx]
    scale = _PHOTO_FACE_PX / (x2 - x1)
    scaled = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return scaled.astype(np.uint8, copy=False)
