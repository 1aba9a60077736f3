"""YOLO11 person detection: ultralytics' ONNX files on ONNX Runtime, or ultralytics itself."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.models.interface import BGRImage, Float32Array, PersonBoxes
from sightline.models.onnx_session import batch_limit, batches, make_session, max_batch
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

MIN_SCORE = 0.1
"""Least score of a box: ByteTrack continues tracks with weak boxes, and begins none with them."""

_NMS_IOU_THRESHOLD = 0.7
"""Intersection over union above which two boxes are one person, as in ultralytics."""

_MAX_BOXES = 300
_PADDING_GREY = 114
_DEFAULT_SIDE_PX = 640


class YoloDetector:
    """Person detector with a YOLO11 exported by ultralytics, of fixed or dynamic input size."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._session: Any = make_session(path, settings)
        self._max_batch = max_batch(self._session, settings)
        [first, *_] = self._session.get_inputs()
        self._input = first.name
        meta = self._session.get_modelmeta().custom_metadata_map
        self._person = _class_number(meta.get("names", ""), "person", path)
        self._stride = int(meta.get("stride", 32))
        height, width = _sides(first.shape, meta.get("imgsz", ""))
        self._height, self._width = height, width
        self._dynamic = not all(isinstance(side, int) for side in first.shape[2:])

    def detect(self, images: Sequence[BGRImage]) -> list[PersonBoxes]:
        """Return the people in each of the images."""
        stride = self._stride if self._dynamic else None
        results: list[PersonBoxes] = []
        for same_shape in batches(images, self._max_batch):
            inputs = [letterbox(image, self._width, self._height, stride) for image in same_shape]
            tensors = [letter.tensor for letter in inputs]
            tensor = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
            [raw, *_] = self._session.run(None, {self._input: tensor})
            for row, (image, letter) in enumerate(zip(same_shape, inputs, strict=True)):
                results.append(self._boxes(raw[row : row + 1], image, letter))
        return results

    def _boxes(self, raw: Float32Array, image: BGRImage, letter: "Letterbox") -> PersonBoxes:
        height, width = image.shape[:2]
        boxes, scores = decode(raw, self._person, MIN_SCORE)
        boxes -= np.tile(letter.margin, 2)
        boxes /= np.tile(letter.scale, 2)
        np.clip(boxes[:, 0::2], 0, width, out=boxes[:, 0::2])
        np.clip(boxes[:, 1::2], 0, height, out=boxes[:, 1::2])
        return PersonBoxes(boxes, scores)


def _sides(shape: list[Any], imgsz: str) -> tuple[int, int]:
    """Return height and width of the input: fixed in the graph, else as it was exported for."""
    height, width = shape[2:4]
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    exported = ast.literal_eval(imgsz) if imgsz else [_DEFAULT_SIDE_PX, _DEFAULT_SIDE_PX]
    return int(exported[0]), int(exported[1])


def _class_number(names: str, class_name: str, path: Path) -> int:
    if not names:
        return 0  # as in COCO
    for number, name in ast.literal_eval(names).items():
        if name == class_name:
            return int(number)
    raise SightlineError(f"detector {path} has no class {class_name!r}")


class Letterbox(NamedTuple):
    """An image as the network takes it, with scale and margin to map boxes back."""

    tensor: Float32Array
    """(1, 3, height, width), RGB, 0 to 1."""
    scale: Float32Array
    """(2,): x and y; they differ a little, as both sides are rounded to pixels."""
    margin: Float32Array
    """(2,): pixels of grey on the left and at the top."""


def letterbox(image: BGRImage, width: int, height: int, stride: int | None) -> Letterbox:
    """Scale an image into width x height and centre it on grey.

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
    canvas = np.full((inner_h + pad_h, inner_w + pad_w, 3), _PADDING_GREY, np.uint8)
    canvas[top : top + inner_h, left : left + inner_w] = image
    tensor = cv2.dnn.blobFromImage(canvas, 1 / 255.0, swapRB=True)
    return Letterbox(
        np.asarray(tensor, np.float32),
        np.array([inner_w / wide, inner_h / tall], np.float32),
        np.array([left, top], np.float32),
    )


def decode(raw: Float32Array, label: int, min_score: float) -> tuple[Float32Array, Float32Array]:
    """Return boxes (n, 4) as corners in pixels of the input, and scores (n,), best first.

    `raw` is the network's output (1, 4 + classes, candidates): centre, size, class scores. A box
    belongs to its best class, as in ultralytics.
    """
    rows = raw[0]
    if rows.ndim != 2 or rows.shape[0] < 5 + label:
        raise SightlineError(f"the person detector's output has the shape {raw.shape}, not YOLO's")
    candidates = np.flatnonzero(rows[4 + label] > min_score)
    if candidates.size == 0:
        return np.empty((0, 4), np.float32), np.empty(0, np.float32)
    columns = rows[:, candidates]
    columns = columns[:, columns[4:].argmax(axis=0) == label]
    scores = columns[4 + label].astype(np.float32)
    centre, half = columns[:2].T, columns[2:4].T / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    order = suppress(boxes, scores)
    return boxes[order], scores[order]


def suppress(boxes: Float32Array, scores: Float32Array) -> NDArray[np.intp]:
    """Return the indices of the boxes (n, 4) that no better box covers, best first."""
    if not len(boxes):
        return np.empty(0, np.intp)
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    indices = cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), 0.0, _NMS_IOU_THRESHOLD)
    return np.asarray(indices, np.intp).reshape(-1)[:_MAX_BOXES]


class UltralyticsDetector:
    """Person detector by ultralytics itself, for `.pt` and `.engine` files; extra `ultralytics`."""

    def __init__(self, path: Path, settings: Settings) -> None:
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
        self._device = "cpu" if settings.provider == "cpu" else settings.device
        # An engine file is built for one batch size, mostly 1.
        self._max_batch = batch_limit(settings) if path.suffix == ".pt" else 1

    def detect(self, images: Sequence[BGRImage]) -> list[PersonBoxes]:
        """Return the people in each of the images."""
        results: list[PersonBoxes] = []
        for same_shape in batches(images, self._max_batch):
            predictions = self._model.predict(
                list(same_shape),
                conf=MIN_SCORE,
                iou=_NMS_IOU_THRESHOLD,
                classes=[self._person],
                device=self._device,
                verbose=False,
            )
            for prediction in predictions:
                boxes = prediction.boxes.xyxy.cpu().numpy().astype(np.float32)
                scores = prediction.boxes.conf.cpu().numpy().astype(np.float32)
                results.append(PersonBoxes(boxes, scores))
        return results
