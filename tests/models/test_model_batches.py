"""Lists of images and faces: on the CPU the same to the bit as one alone, on a GPU one call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from processors.vision.processor import VisionProcessor
from schemas import sightline_pb2 as pb
from schemas.ids import motion_event_id
from sightline.models import onnx_session
from sightline.models.detector import YoloDetector
from sightline.models.face_models import ArcFaceEmbedder
from sightline.models.interface import BGRImage, Face, FaceEmbedder, ModelPack
from sightline.models.packs import load_pack
from sightline.models.verify import sample_picture
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord, Record
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models


@pytest.fixture(scope="module", params=["onnx", "dlib"])
def pack(request: pytest.FixtureRequest, shared: Path) -> ModelPack:
    return load_pack_of(shared / "models" if request.param == "onnx" else None)


@pytest.fixture(scope="module")
def images(shared: Path) -> list[BGRImage]:
    """Two pictures of one size, and one of another with several people."""
    capture = cv2.VideoCapture(str(shared / "media" / "stage_clip.mp4"))
    frames = [np.asarray(capture.read()[1], np.uint8) for _ in range(60)][::59]
    capture.release()
    return [*frames, np.ascontiguousarray(sample_picture()[:, :700])]


def groupings(items: Sequence[Any]) -> list[list[Sequence[Any]]]:
    """All at once in reverse, and in pairs."""
    return [[items[::-1]], [items[at : at + 2] for at in range(0, len(items), 2)]]


def bits(value: Any) -> Any:
    """Arrays as bytes, so that comparing them is comparing bits."""
    if isinstance(value, Face):
        return value.box.tobytes(), value.score, value.landmarks.tobytes()
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return [bits(part) for part in value]


def compare(function: Any, items: Sequence[Any]) -> None:
    """Check that a model gives for each item, however grouped, what it gives for it alone."""
    alone = {id(item): bits(function([item])[0]) for item in items}
    for grouping in groupings(items):
        for group in grouping:
            assert [bits(result) for result in function(group)] == [
                alone[id(item)] for item in group
            ]


def test_any_grouping_gives_the_bits_of_one_at_a_time(
    pack: ModelPack, images: list[BGRImage]
) -> None:
    if pack.persons is not None:
        compare(pack.persons.detect, images)
    compare(pack.faces.detect, images)
    results = pack.faces.detect(images)
    faces = [
        (image, face) for image, detected in zip(images, results, strict=True) for face in detected
    ]
    assert len(faces) >= 3
    compare(pack.embedder.embed, faces)
    assert pack.embedder.embed([]) == []


def test_a_worker_on_the_cpu_writes_the_same_bytes_for_any_grouping(shared: Path) -> None:
    records = film(shared, cameras=2, frames=10)
    settings = Settings(
        models=shared / "models",
        model_batch_frames=5,
        evidence=EvidenceSettings(interval_seconds=0.05),
    )
    pack = load_pack(settings)
    assert pack.max_batch == 5
    alone = outputs(VisionProcessor(pack, settings), records, 1)
    assert {out.topic for out in alone} == {"tracks", "faces", "snapshots"}
    assert outputs(VisionProcessor(pack, settings), records, 5) == alone
    assert outputs(VisionProcessor(pack, settings), records, len(records)) == alone


def outputs(processor: VisionProcessor, records: list[Record], size: int) -> list[OutputRecord]:
    outs: list[OutputRecord] = []
    for start in range(0, len(records), size):
        group = records[start : start + size]
        processor.prepare(group)
        for record in group:
            outs += processor.process(record)
    return outs


def film(shared: Path, cameras: int, frames: int) -> list[Record]:
    """The stage clip by several cameras, each some frames later than the one before."""
    capture = cv2.VideoCapture(str(shared / "media" / "stage_clip.mp4"))
    capture.set(cv2.CAP_PROP_POS_FRAMES, 140)
    pictures = [capture.read()[1] for _ in range(frames + 5 * cameras)]
    capture.release()
    records: list[Record] = []
    for number in range(frames):
        for camera in range(cameras):
            jpeg = cv2.imencode(".jpg", pictures[number + 5 * camera])[1].tobytes()
            at_us = 1_700_000_000_000_000 + number * 40_000
            frame = pb.Frame(
                camera_id=f"camera-{camera}", site_id="home", sequence=number,
                captured_at_us=at_us, jpeg=jpeg, first_in_event=number == 0,
                motion_event_id=motion_event_id(f"camera-{camera}", 0),
                last_in_event=number == frames - 1,
            )  # fmt: skip
            offset, key = len(records), frame.camera_id.encode()
            value = frame.SerializeToString()
            records.append(Record("frames.default", 0, offset, key, value, at_us // 1000))
    return records


def network(path: Path, nodes: list[onnx.NodeProto], shape: list[Any], outputs: list[Any]) -> Path:
    """A tiny network whose batch axis is free."""
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [3], [-1, 84, 36])
    starts = helper.make_tensor("starts", TensorProto.INT64, [1], [0])
    stops = helper.make_tensor("stops", TensorProto.INT64, [1], [84 * 36])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, outputs)],
        [sizes, starts, stops, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def counted(model: Any, sizes: list[int]) -> Any:
    """Note the batch size of every call of a model's session."""
    run = model.run

    class Session:
        def run(self, names: Any, feed: dict[str, Any]) -> Any:
            sizes.append(len(next(iter(feed.values()))))
            return run(names, feed)

        def __getattr__(self, name: str) -> Any:
            return getattr(model, name)

    return Session()


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches of 3 at most, as on a GPU; the sizes of the calls that are made."""
    sizes: list[int] = []
    make = onnx_session.make_session
    for module in ("sightline.models.detector", "sightline.models.face_models"):
        monkeypatch.setattr(f"{module}.make_session", lambda *about: counted(make(*about), sizes))
    monkeypatch.setattr(onnx_session, "batch_limit", lambda _settings: 3)
    return sizes


def test_images_of_one_shape_are_one_call_where_the_batch_axis_is_free(
    tmp_path: Path, on_a_gpu: list[int], images: list[BGRImage]
) -> None:
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"]),
        helper.make_node("Slice", ["flat", "starts", "stops", "axes"], ["cut"]),
        helper.make_node("Reshape", ["cut", "sizes"], ["out"]),
    ]
    path = network(tmp_path / "yolo.onnx", nodes, ["N", 3, 32, 32], ["N", 84, 36])
    detector = YoloDetector(path, Settings())
    frame, group = images[0], images[2]
    items = [frame, images[1], frame, frame, group, group]
    alone = [bits(detector.detect([image])[0]) for image in items]
    on_a_gpu.clear()
    assert [bits(boxes) for boxes in detector.detect(items)] == alone
    assert on_a_gpu == [3, 1, 2]


def test_faces_are_embedded_in_one_call_where_the_batch_axis_is_free(
    tmp_path: Path, on_a_gpu: list[int], images: list[BGRImage]
) -> None:
    nodes = [
        helper.make_node("AveragePool", ["in"], ["small"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["small"], ["out"]),
    ]
    path = network(tmp_path / "arc.onnx", nodes, ["N", 3, 112, 112], ["N", 192])
    embedder: FaceEmbedder = ArcFaceEmbedder(path, Settings())
    points = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [70, 92]], np.float32)
    faces = [
        (images[0], Face(np.array([0, 0, 112, 112], np.float32), 0.9, points + 10 * shift))
        for shift in range(5)
    ]
    alone = np.stack([embedder.embed([face])[0] for face in faces])
    on_a_gpu.clear()
    assert np.allclose(np.stack(embedder.embed(faces)), alone, atol=1e-6)
    assert on_a_gpu == [3, 2]


def test_a_fixed_batch_axis_is_one_call_for_each_image(
    shared: Path, on_a_gpu: list[int], images: list[BGRImage]
) -> None:
    detector = YoloDetector(shared / "models" / "yolo11n_320.onnx", Settings())
    detector.detect(images[:2])
    assert on_a_gpu == [1, 1]
