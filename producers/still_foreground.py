"""Foreground that stays: what came into the picture and stands still in it is not background.

Pure: time comes with the pictures. A background picture of minutes is kept beside the model that
finds motion. Where something moved and the picture differs from that background, the background
is frozen and the region is held, until it looks as before or nothing in it has changed for long.

When motion stops, each region is judged once. A person or a chair has an outline that the
background does not have. A place that somebody has left has its outline in the background. Light
has neither: the same texture is brighter. Only the first is held, the others are background from
then on.
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from producers.region_outline import Mask, RegionKind, dilated, kind_of
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND

_STEP_US: Final = US_PER_SECOND // 2
"""Time between two comparisons: they cost more than the search for motion in one picture."""

_QUIET_US: Final = US_PER_SECOND
"""Time without motion after which regions are judged; shorter than a motion event's end."""

_REJUDGE_US: Final = 60 * US_PER_SECOND
"""Time after which regions are judged again without a motion between."""

_FOLLOW_SECONDS: Final = 20.0
"""Time in which the background follows the light, where nothing is held."""

_CHANGED_LEVELS: Final = 20.0
"""Grey levels of a channel from which a pixel differs from the background."""

_STIR_LEVELS: Final = 12.0
"""Grey levels from one comparison to the next, from which a held pixel has changed."""

_STIR_PIXELS: Final = 8
"""Changed pixels of a region that count: a living being, and no noise."""

_LIGHT_RATIO: Final = 0.05
"""Share of the picture from which a change is one of the light and no sign of life."""

_LEAST_RATIO: Final = 0.001
"""Share of the picture that is held at least: half of what starts a motion event."""

_SMALLEST_PX: Final = 24
"""Pixels of a region, below which it is noise."""

_MAX_REGIONS: Final = 32
"""Largest regions that are judged; the others are not held."""

_CROP_MARGIN_PX: Final = 12
"""Pixels around a region that it is judged with."""

_RELIT_FACTOR: Final = 3
"""A judged region of so many times the size of what was held in it before is a change of light."""

_CLOSING: Final = np.ones((7, 7), np.uint8)
_OPENING: Final = np.ones((3, 3), np.uint8)
_MARGIN: Final = np.ones((5, 5), np.uint8)


class StillForeground:
    """The held regions of a camera's picture, at the size at which motion is searched for."""

    def __init__(self, still_us: int) -> None:
        """`still_us` is the time without any change after which a region is background."""
        self._still_us = still_us
        self._allowed: Mask | None = None
        self._background: NDArray[np.float32] | None = None
        self._foreground_ratio = 0.0
        self._now_us = 0  # counts with the pictures' times, and not with a clock that is set
        self._compared_us = 0
        self._quiet_us = 0
        self._judged_us = 0
        self._comparisons = 0

    @property
    def has_foreground(self) -> bool:
        """True while something stands in front of the background."""
        return self._foreground_ratio >= _LEAST_RATIO

    def update(
        self,
        image: BGRImage,
        moving: Mask,
        elapsed_us: int,
        *,
        in_motion: bool,
        allowed: Mask | None = None,
    ) -> None:
        """Process a picture (H x W x 3, BGR), reduced and blurred, and the mask of its motion.

        `elapsed_us` is the time since the previous picture; `in_motion` says that enough of the
        picture moves for a motion event. Nothing is held outside of `allowed`.
        """
        self._allowed = allowed
        if self._background is None or self._background.shape != image.shape:
            self._begin(image)
        self._now_us += elapsed_us
        self._quiet_us = 0 if in_motion else self._quiet_us + elapsed_us
        self._is_judged &= not in_motion
        self._moved |= moving
        if not self._comparisons or self._now_us - self._compared_us >= _STEP_US:
            self._compare(image)

    def release(self) -> None:
        """Take everything that is held for background with the next picture."""
        self._background = None
        self._foreground_ratio = 0.0

    def _begin(self, image: BGRImage) -> None:
        size = image.shape[:2]
        self._background = image.astype(np.float32)
        self._previous = image
        self._moved = np.zeros(size, np.uint8)
        self._foreground = np.zeros(size, np.uint8)
        self._confirmed = np.zeros(size, np.uint8)
        """Regions that were judged to be something in front."""
        self._changed_us = np.zeros(size, np.int64)
        self._is_judged = False
        self._comparisons = 0

    def _compare(self, image: BGRImage) -> None:
        assert self._background is not None  # noqa: S101 - for mypy
        elapsed_us, self._compared_us = self._now_us - self._compared_us, self._now_us
        self._comparisons += 1
        changed = _differs(image, _as_picture(self._background), _CHANGED_LEVELS)
        if self._allowed is not None:
            changed &= self._allowed
        moved = dilated(self._moved, _MARGIN)
        # A body that sways shows no motion after a while: its places are known to the model.
        foreground = changed & (dilated(self._foreground, _MARGIN) | moved)
        self._foreground = np.asarray(
            cv2.morphologyEx(foreground, cv2.MORPH_OPEN, _OPENING), np.uint8
        )
        self._note_changes(image)
        self._follow_light(image, changed & moved, elapsed_us)
        if self._foreground.any() or self._confirmed.any():
            self._review(image)
        self._moved[:] = 0
        self._previous = image

    def _note_changes(self, image: BGRImage) -> None:
        stirred = _differs(image, self._previous, _STIR_LEVELS) & self._foreground
        if np.count_nonzero(stirred) <= _LIGHT_RATIO * stirred.size:
            self._changed_us[stirred > 0] = self._now_us
        self._changed_us[(self._moved & self._foreground) > 0] = self._now_us

    def _follow_light(self, image: BGRImage, moving: Mask, elapsed_us: int) -> None:
        """Update the background where nothing is held, and with it the light of the rest."""
        assert self._background is not None  # noqa: S101 - for mypy
        frozen = dilated(self._foreground | moving, _MARGIN)
        free = np.asarray(~frozen, np.uint8)
        rate = max(1 / self._comparisons, 1 - np.exp(-elapsed_us / US_PER_SECOND / _FOLLOW_SECONDS))
        before = cv2.mean(self._background, free)
        cv2.accumulateWeighted(image, self._background, float(rate), free)
        if frozen.any() and free.any():
            self._light_up(frozen > 0, before, cv2.mean(self._background, free))

    def _light_up(
        self, pixels: NDArray[np.bool_], before: tuple[float, ...], now: tuple[float, ...]
    ) -> None:
        """Change the background of held pixels as the light has changed beside them."""
        assert self._background is not None  # noqa: S101 - for mypy
        factors = (np.array(now[:3], np.float32) + 1) / (np.array(before[:3], np.float32) + 1)
        self._background[pixels] = np.clip(self._background[pixels] * factors, 0, 255)

    def _review(self, image: BGRImage) -> None:
        """Judge the regions that are due, and release those that have not changed for long."""
        if self._quiet_us < _QUIET_US:
            # Anything may have grown together with it by now, the light of the whole room.
            self._confirmed &= self._closed()
            self._measure()
            return
        is_due = not self._is_judged
        judges_all = is_due or self._now_us - self._judged_us >= _REJUDGE_US
        if judges_all:
            self._is_judged, self._judged_us = True, self._now_us
        earlier, self._confirmed = self._confirmed, np.zeros_like(self._confirmed)
        near = dilated(earlier, _CLOSING)
        for region, box in self._regions():
            pixels = (region > 0) & (self._foreground > 0)
            is_confirmed = bool((near[pixels] > 0).any())
            if not self._has_changed(pixels):
                self._absorb(image, region > 0)
                continue
            if judges_all or not is_confirmed:
                kind = self._kind(region, image, box)
                # An outline that fades while nothing moves is one of the light.
                is_kept = not is_due and is_confirmed and kind is RegionKind.UNCLEAR
                if kind is not RegionKind.OBJECT and not is_kept:
                    self._absorb_around(image, region > 0, (earlier > 0) & pixels)
                    continue
            self._confirmed |= region
        self._measure()

    def _closed(self) -> Mask:
        return np.asarray(cv2.morphologyEx(self._foreground, cv2.MORPH_CLOSE, _CLOSING), np.uint8)

    def _measure(self) -> None:
        near = dilated(self._confirmed, _CLOSING)
        self._foreground_ratio = np.count_nonzero(self._foreground & near) / self._foreground.size

    def _regions(self) -> Iterator[tuple[Mask, NDArray[np.int32]]]:
        """Yield the largest held regions, each with x, y, width and height of its box."""
        _, labels, stats, _ = cv2.connectedComponentsWithStats(self._closed())
        largest = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:_MAX_REGIONS] + 1
        for label in largest:
            if stats[label, cv2.CC_STAT_AREA] >= _SMALLEST_PX:
                region = np.where(labels == label, np.uint8(255), np.uint8(0))
                yield region, np.asarray(stats[label, :4], np.int32)

    def _has_changed(self, pixels: NDArray[np.bool_]) -> bool:
        recent = self._changed_us[pixels] > self._now_us - self._still_us
        return int(np.count_nonzero(recent)) >= _STIR_PIXELS

    def _kind(self, region: Mask, image: BGRImage, box: NDArray[np.int32]) -> RegionKind:
        assert self._background is not None  # noqa: S101 - for mypy
        x, y, width, height = (int(value) for value in box[:4])
        left, top = max(0, x - _CROP_MARGIN_PX), max(0, y - _CROP_MARGIN_PX)
        part = np.s_[
            top : y + height + _CROP_MARGIN_PX,
            left : x + width + _CROP_MARGIN_PX,
        ]
        return kind_of(region[part], image[part], _as_picture(self._background[part]))

    def _absorb_around(
        self, image: BGRImage, region: NDArray[np.bool_], earlier: NDArray[np.bool_]
    ) -> None:
        """Make a region background, or all of it but what was held before the light changed."""
        assert self._background is not None  # noqa: S101 - for mypy
        is_relit = np.count_nonzero(region) >= _RELIT_FACTOR * np.count_nonzero(earlier) > 0
        if not is_relit:
            self._absorb(image, region)
            return
        around = np.where(region & ~earlier, np.uint8(255), np.uint8(0))
        self._light_up(earlier, cv2.mean(self._background, around), cv2.mean(image, around))
        self._absorb(image, around > 0)
        self._is_judged = False  # what is left is judged by the new light and its own outline

    def _absorb(self, image: BGRImage, pixels: NDArray[np.bool_]) -> None:
        assert self._background is not None  # noqa: S101 - for mypy
        rim = dilated(np.where(pixels, np.uint8(255), np.uint8(0)), _MARGIN) > 0
        rim &= (self._foreground == 0) | pixels
        self._background[rim] = image[rim]
        self._foreground[rim] = 0


def _differs(image: BGRImage, other: BGRImage, levels: float) -> Mask:
    """Return the mask of the pixels that differ by more than so many levels of a channel."""
    blue, green, red = cv2.split(cv2.absdiff(image, other))
    largest = cv2.max(cv2.max(blue, green), red)
    return np.asarray(cv2.threshold(largest, levels, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _as_picture(background: NDArray[np.float32]) -> BGRImage:
    return np.asarray(cv2.convertScaleAbs(background), np.uint8)
