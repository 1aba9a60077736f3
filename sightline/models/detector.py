"""YOLO11 person detection: ultralytics' ONNX files directly, or its own weights by itself."""

import ast
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.models.interface import BGRImage, Floats
from sightline.models.onnx_session import make_session
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

MIN_SCORE = 0.1
"""Boxes from here: ByteTrack takes weak ones to keep a track going, not to begin one."""

_OVERLAP = 0.7
"""Intersection over union above which two boxes are one person, as ultralytics has it."""

_MAX_BOXES = 300
_GREY = 114
_DEFAULT_SIZE = 640


class YoloDetector:
    """People in an image by a YOLO11 exported by ultralytics, of fixed or dynamic input size."""

    def __init__(self, path: Path, settings: Settings, min_score: float = MIN_SCORE) -> None:
        self._session: Any = make_session(path, settings)
        self._min_score = min_score
        [first, *_] = self._session.get_inputs()
        self._input = first.name
        meta = self._session.get_modelmeta().custom_metadata_map
        self._person = _class_number(meta.get("names", ""), "person", path)
        self._stride = int(meta.get("stride", 32))
        height, width = _sides(first.shape, meta.get("imgsz", ""))
        self._height, self._width = height, width
        self._dynamic = not all(isinstance(side, int) for side in first.shape[2:])

    def detect(self, image: BGRImage) -> tuple[Floats, Floats]:
        """Boxes (n, 4) x1, y1, x2, y2 in pixels, inside the image; scores (n,), best first."""
        height, width = image.shape[:2]
        letter = letterbox(
            image, self._width, self._height, self._stride if self._dynamic else None
        )
        [raw, *_] = self._session.run(None, {self._input: letter.tensor})
        boxes, scores = decode(raw, self._person, self._min_score)
        boxes -= np.tile(letter.margin, 2)
        boxes /= np.tile(letter.scale, 2)
        np.clip(boxes[:, 0::2], 0, width, out=boxes[:, 0::2])
        np.clip(boxes[:, 1::2], 0, height, out=boxes[:, 1::2])
        return boxes, scores


def _sides(shape: list[Any], imgsz: str) -> tuple[int, int]:
    """Height and width of the input: fixed in the graph, else what it was exported for."""
    height, width = shape[2:4]
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    given = ast.literal_eval(imgsz) if imgsz else [_DEFAULT_SIZE, _DEFAULT_SIZE]
    return int(given[0]), int(given[1])


def _class_number(names: str, wanted: str, path: Path) -> int:
    if not names:
        return 0  # COCO's order
    for number, name in ast.literal_eval(names).items():
        if name == wanted:
            return int(number)
    raise SightlineError(f"detector {path} has no class {wanted!r}")


class Letterbox(NamedTuple):
    """An image as the network takes it, and the way back."""

    tensor: Floats
    """(1, 3, height, width), RGB, 0 to 1."""
    scale: Floats
    """(2,): across and down; they differ a little, for both sides are rounded to pixels."""
    margin: Floats
    """(2,): pixels of grey on the left and above."""


def letterbox(image: BGRImage, width: int, height: int, stride: int | None) -> Letterbox:
    """An image scaled into width x height and centred on grey.

    With a stride the grey is cut to the next multiple of it.
    """
    tall, wide = image.shape[:2]
    scale = min(width / wide, height / tall)
    inner_w, inner_h = max(1, round(wide * scale)), max(1, round(tall * scale))
    pad_w, pad_h = width - inner_w, height - inner_h
    if stride is not None:
        pad_w, pad_h = pad_w % stride, pad_h % stride
    # Rounded as ultralytics rounds: half a pixel of margin goes right and below.
    left, top = round(pad_w / 2 - 0.1), round(pad_h / 2 - 0.1)
    if (inner_w, inner_h) != (wide, tall):
        image = np.asarray(
            cv2.resize(image, (inner_w, inner_h), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    canvas = np.full((inner_h + pad_h, inner_w + pad_w, 3), _GREY, np.uint8)
    canvas[top : top + inner_h, left : left + inner_w] = image
    tensor = cv2.dnn.blobFromImage(canvas, 1 / 255.0, swapRB=True)
    return Letterbox(
        np.asarray(tensor, np.float32),
        np.array([inner_w / wide, inner_h / tall], np.float32),
        np.array([left, top], np.float32),
    )


def decode(raw: Floats, label: int, min_score: float) -> tuple[Floats, Floats]:
    """Boxes (n, 4) as corners in pixels of the input, and scores (n,), best first.

    `raw` is the network's output (1, 4 + classes, candidates): centre, size, class scores. A box
    counts for a class when that is its best one, as with ultralytics.
    """
    rows = raw[0]
    if rows.ndim != 2 or rows.shape[0] < 5 + label:
        raise SightlineError(f"the person detector's output has the shape {raw.shape}, not YOLO's")
    kept = np.flatnonzero(rows[4 + label] > min_score)
    if kept.size == 0:
        return np.empty((0, 4), np.float32), np.empty(0, np.float32)
    few = rows[:, kept]
    few = few[:, few[4:].argmax(axis=0) == label]
    scores = few[4 + label].astype(np.float32)
    centre, half = few[:2].T, few[2:4].T / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    order = suppress(boxes, scores)
    return boxes[order], scores[order]


def suppress(boxes: Floats, scores: Floats) -> NDArray[np.intp]:
    """Indices of the boxes that no better one covers, best first."""
    if not len(boxes):
        return np.empty(0, np.intp)
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), 0.0, _OVERLAP)
    return np.asarray(kept, np.intp).reshape(-1)[:_MAX_BOXES]


class UltralyticsDetector:
    """People by ultralytics itself, for its `.pt` and `.engine` files; the extra `ultralytics`."""

    def __init__(self, path: Path, settings: Settings, min_score: float = MIN_SCORE) -> None:
        try:
            from ultralytics import YOLO  # noqa: PLC0415 - an extra, and heavy
        except ImportError as error:
            raise SightlineError(
                f"{path.name} is run by ultralytics: install sightline[ultralytics]"
            ) from error
        try:
            self._model: Any = YOLO(str(path), task="detect")
            self._person = next(n for n, name in self._model.names.items() if name == "person")
        except StopIteration:
            raise SightlineError(f"detector {path} has no class 'person'") from None
        except (RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
            raise SightlineError(f"model file {path} does not load: {error}") from error
        self._min_score = min_score
        self._device = "cpu" if settings.provider == "cpu" else settings.device

    def detect(self, image: BGRImage) -> tuple[Floats, Floats]:
        """Boxes (n, 4) x1, y1, x2, y2 in pixels, inside the image; scores (n,), best first."""
        [result] = self._model.predict(
            image,
            conf=self._min_score,
            iou=_OVERLAP,
            classes=[self._person],
            device=self._device,
            verbose=False,
        )
        boxes = result.boxes.xyxy.cpu().numpy().astype(np.float32)
        return boxes, result.boxes.conf.cpu().numpy().astype(np.float32)
