"""Run in ultralytics' own environment: builds and exports a YOLO11, and prints what it finds.

Arguments: a folder to work in, a folder where the models are kept once they are made, a picture, an
ONNX file to run as well, or "-", and where Sightline and what it needs are found.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import torch
from ultralytics import YOLO

Found = dict[str, list[Any]]

MIN_SCORE = 0.1
OVERLAP = 0.7


def read(picture: str) -> Any:
    """The picture, blue first."""
    return cv2.imread(picture)


def build(folder: Path, picture: str) -> Path:
    """A YOLO11n of random weights that answers to what it sees, with some boxes well scored."""
    torch.manual_seed(7)
    yolo = YOLO("yolo11n.yaml")
    network = yolo.model
    network.names = {0: "person", **{number: f"class {number}" for number in range(1, 80)}}
    # One look at the picture in training mode gives the normalisations their statistics:
    # without them a random network's signal dies out, and every box is the same.
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    seen = torch.from_numpy(cv2.resize(read(picture), (320, 320))[..., ::-1].copy())
    network.train()
    with torch.no_grad():
        network(seen.permute(2, 0, 1)[None].repeat(2, 1, 1, 1) / 255.0)
        for branch in network.model[-1].cv3:
            branch[-1].weight[0].normal_(0.0, 0.01)
            branch[-1].bias[0] = -2.5
    network.eval()
    yolo.save(str(folder / "random.pt"))
    return folder / "random.pt"


def make_models(folder: Path, picture: str) -> None:
    """The weights and what is exported of them."""
    folder.mkdir()
    weights = build(folder, picture)
    for name, dynamic in (("fixed", False), ("dynamic", True)):
        # Simplified like the models that `models fetch` exports; once is enough, it takes seconds.
        options = {"imgsz": 320, "dynamic": dynamic, "simplify": not dynamic}
        path = Path(YOLO(str(weights)).export(format="onnx", **options))
        path.rename(folder / f"{name}.onnx")


def detections(model: Path, picture: str, **options: int) -> Found:
    """Boxes and scores of people as ultralytics gives them."""
    [result] = YOLO(str(model), task="detect").predict(
        picture, conf=MIN_SCORE, iou=OVERLAP, classes=[0], device="cpu", verbose=False, **options
    )
    return {"boxes": result.boxes.xyxy.tolist(), "scores": result.boxes.conf.tolist()}


def found_behind_our_interface(weights: Path, picture: str) -> Found:
    """The same by our detector for ultralytics' own files."""
    from sightline.models.detector import UltralyticsDetector
    from sightline.runtime.settings import Settings

    [(boxes, scores)] = UltralyticsDetector(weights, Settings()).detect([read(picture)])
    return {"boxes": boxes.tolist(), "scores": scores.tolist()}


def main() -> None:
    torch.set_num_threads(1)  # threads that wait for each other take the cores from other tests
    folder, models_folder = Path(sys.argv[1]), Path(sys.argv[2])
    picture, real = sys.argv[3:5]
    if not models_folder.exists():
        make_models(folder / "models", picture)
        (folder / "models").rename(models_folder)
    models = {"native": models_folder / "random.pt"}
    models |= {name: models_folder / f"{name}.onnx" for name in ("fixed", "dynamic")}
    models |= {} if real == "-" else {"real": Path(real)}
    answers = {name: detections(model, picture, imgsz=320) for name, model in models.items()}
    answers["as it comes"] = detections(models["native"], picture)
    sys.path += sys.argv[5:]
    answers["behind our interface"] = found_behind_our_interface(models["native"], picture)
    (folder / "answers.json").write_text(json.dumps(answers))


main()
