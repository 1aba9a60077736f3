"""A model that is missing, broken or of another kind: one line that says what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from sightline.models import fetch, onnx_session
from sightline.models.onnx_session import make_session
from sightline.models.packs import default_folder, load_pack, resolve_pack
from sightline.models.verify import verify_pack
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

pytestmark = pytest.mark.models


def network(path: Path, shape: list[int], outputs: int = 1) -> None:
    """A tiny network: what a file is told by is its inputs and outputs."""
    names = [f"out{number}" for number in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["in"], [name]) for name in names],
        "tiny",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def pack_folder(folder: Path) -> Path:
    network(folder / "faces.onnx", [1, 3, 320, 320], outputs=9)
    network(folder / "embedder.onnx", [1, 3, 112, 112])
    return folder


def one_line(attempt: Callable[[], object]) -> str:
    with pytest.raises(SightlineError) as caught:
        attempt()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("data", [b"", b"no network at all", b"\x08\x07" + b"\x00" * 100])
def test_a_broken_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "yolo.onnx"
    path.write_bytes(data)
    assert str(path) in one_line(lambda: make_session(path, Settings()))
    assert str(path) in one_line(lambda: resolve_pack(Settings(models=pack_folder(tmp_path))))


def test_a_file_cut_off(shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(shared / "models", folder)
    for name in ("yolo11n_320.onnx", "scrfd_2.5g_bnkps.onnx", "mobilefacenet_128.onnx"):
        path = folder / name
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole[: len(whole) // 2])
        assert name in one_line(lambda: load_pack(Settings(models=folder)))
        path.write_bytes(whole)


def test_a_missing_file_or_folder(tmp_path: Path) -> None:
    assert "missing" in one_line(lambda: make_session(tmp_path / "none.onnx", Settings()))
    assert "no folder" in one_line(lambda: resolve_pack(Settings(models=tmp_path / "none")))
    assert "SCRFD" in one_line(lambda: resolve_pack(Settings(models=tmp_path)))
    network(tmp_path / "faces.onnx", [1, 3, 320, 320], outputs=9)
    assert "ArcFace" in one_line(lambda: resolve_pack(Settings(models=tmp_path)))


def test_the_default_pack_that_was_not_fetched(tmp_path: Path) -> None:
    message = one_line(lambda: resolve_pack(Settings(home=tmp_path, pack="default")))
    assert "sightline models fetch" in message


def test_a_fetched_pack_is_used_by_itself_and_a_changed_file_is_told(
    shared: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    folder = default_folder(settings)
    shutil.copytree(shared / "models", folder)
    assert resolve_pack(settings).id == "buffalo_l"
    (folder / fetch.MANIFEST).write_text('{"scrfd_2.5g_bnkps.onnx": "00"}')
    assert "scrfd_2.5g_bnkps.onnx" in one_line(lambda: verify_pack(settings))
    (folder / fetch.MANIFEST).write_text("[")
    assert "damaged" in one_line(lambda: verify_pack(settings))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "openvino"])
def test_a_provider_that_is_not_installed(tmp_path: Path, provider: str) -> None:
    import onnxruntime

    if any(provider in name.lower() for name in onnxruntime.get_available_providers()):
        pytest.skip(f"this onnxruntime has {provider}")
    settings = Settings.model_validate({"provider": provider})
    message = one_line(lambda: make_session(tmp_path / "any.onnx", settings))
    assert f"provider {provider} is not in this onnxruntime: install" in message


def test_both_builds_of_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_session._onnxruntime.cache_clear()
    monkeypatch.setattr(onnx_session, "_installed", lambda name: True)
    message = one_line(onnx_session._onnxruntime)
    assert "overwrite each other" in message


def test_without_insightface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_session, "_installed", lambda name: name != "insightface")
    assert "pip install --no-deps insightface" in one_line(onnx_session.require_insightface)


def test_weights_of_ultralytics_without_ultralytics(tmp_path: Path) -> None:
    from importlib.util import find_spec

    if find_spec("ultralytics"):
        pytest.skip("ultralytics is installed here")
    pack_folder(tmp_path)
    (tmp_path / "yolo11n.pt").write_bytes(b"weights")
    assert "sightline[ultralytics]" in one_line(lambda: load_pack(Settings(models=tmp_path)))


def test_no_way_to_the_weights_is_one_line_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy that nobody listens at: as a machine without a way out.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    lines: list[str] = []
    assert not fetch.fetch_default(Settings(home=tmp_path), lines.append)
    assert len(lines) == 1 and "dlib" in lines[0]
    assert not default_folder(Settings(home=tmp_path)).exists()
