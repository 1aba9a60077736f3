"""Model packs: which models work together, where their files are, and loading them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline.models.file_hashes import sha256_of_file
from sightline.models.interface import ModelPack, PersonDetector
from sightline.models.model_metrics import GPU_PROVIDERS, show_memory, show_models
from sightline.models.onnx_session import batch_limit
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

DEFAULT_PACK = "buffalo_l"
"""Id of the pack `default`: its embedder is the one of buffalo_l."""

_QUANTIZED_OPS = {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger"}
_NATIVE = (".engine", ".pt")


@dataclass(frozen=True, slots=True)
class PackFiles:
    """The files of a pack that is not loaded yet; the pack `dlib` has none."""

    id: str
    persons: Path | None = None
    faces: Path | None = None
    embedder: Path | None = None


def default_folder(settings: Settings) -> Path:
    """Return the folder of the default pack, which `sightline models fetch` fills."""
    return settings.home / "models" / "default"


def resolve_pack(settings: Settings) -> PackFiles:
    """Choose the pack: the folder of the settings, the default pack if it was fetched, else dlib.

    Raises:
        SightlineError: The pack that the settings name is missing.
    """
    if settings.models is not None:
        return _folder_pack(settings.models)
    fetched = default_folder(settings)
    if settings.pack == "dlib" or (settings.pack == "auto" and not fetched.is_dir()):
        return PackFiles("dlib")
    if not fetched.is_dir():
        raise SightlineError("the default pack is not here: run `sightline models fetch`")
    files = _folder_pack(fetched)
    return replace(files, id=DEFAULT_PACK)


def load_pack(settings: Settings) -> ModelPack:
    """Load the pack that the settings name.

    Raises:
        SightlineError: A file is missing or broken, or the provider does not work.
    """
    files = resolve_pack(settings)
    if files.faces is None or files.embedder is None:
        from sightline.models.dlib_pack import load_dlib_pack, weight_files  # noqa: PLC0415 - heavy

        pack = replace(load_dlib_pack(), max_batch=settings.model_batch_frames or 1)
        show_models(pack.id, "cpu", weight_files().values())
        return pack
    from sightline.models.face_models import ArcFaceEmbedder, ScrfdDetector  # noqa: PLC0415 - heavy

    pack = ModelPack(
        id=files.id,
        persons=_person_detector(files.persons, settings) if files.persons else None,
        faces=ScrfdDetector(files.faces, settings),
        embedder=ArcFaceEmbedder(files.embedder, settings),
        max_batch=settings.model_batch_frames or batch_limit(settings),
    )
    paths = [path for path in (files.persons, files.faces, files.embedder) if path is not None]
    show_models(pack.id, settings.provider, paths)
    if settings.provider in GPU_PROVIDERS:
        show_memory(settings.device)
    return pack


def _person_detector(path: Path, settings: Settings) -> PersonDetector:
    from sightline.models.detector import UltralyticsDetector, YoloDetector  # noqa: PLC0415

    if path.suffix in _NATIVE:
        return UltralyticsDetector(path, settings)
    return YoloDetector(path, settings)


def _folder_pack(folder: Path) -> PackFiles:
    """Identify the models of a folder by their inputs and outputs, not by their names."""
    if not folder.is_dir():
        raise SightlineError(f"there is no folder {folder} with models")
    paths: dict[str, list[tuple[bool, Path]]] = {"persons": [], "faces": [], "embedder": []}
    for path in sorted(folder.glob("*.onnx")):
        kind, quantized = _inspect(path)
        if kind is not None:
            paths[kind].append((quantized, path))
    # Full precision first: int8 kernels need hardware that not every machine has.
    best = {kind: min(files)[1] for kind, files in paths.items() if files}
    if "persons" not in best:
        native = [path for suffix in _NATIVE for path in sorted(folder.glob(f"*{suffix}"))]
        best |= {"persons": native[0]} if native else {}
    for kind, description in (
        ("faces", "face detector (SCRFD with landmarks)"),
        ("embedder", "face embedder (ArcFace, 112x112)"),
    ):
        if kind not in best:
            raise SightlineError(f"no {description} among the ONNX files in {folder}")
    embedder = best["embedder"]
    return PackFiles(f"{embedder.stem}-{sha256_of_file(embedder)[:8]}", **best)


def _inspect(path: Path) -> tuple[str | None, bool]:
    """Return the kind of an ONNX file (persons, faces, embedder, None), and True if quantized."""
    import onnx  # noqa: PLC0415 - heavy
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise SightlineError(f"model file {path} is broken: {error}") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise SightlineError(f"model file {path} is broken: it holds no network")
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [_shape(value) for value in graph.input if value.name not in constants]
    outputs = [_shape(value) for value in graph.output]
    meta = {entry.key: entry.value for entry in model.metadata_props}
    quantized = any(node.op_type in _QUANTIZED_OPS for node in graph.node)
    return _kind(inputs, outputs, meta), quantized


def _shape(value: Any) -> list[int]:
    """Return the shape of an input or output; -1 for a free axis."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims]


def _kind(inputs: list[list[int]], outputs: list[list[int]], meta: dict[str, str]) -> str | None:
    if len(inputs) != 1 or len(inputs[0]) != 4:
        return None
    if len(outputs) in (9, 15):
        return "faces"
    if len(outputs) != 1:
        return None
    if meta.get("task") == "detect" or (len(outputs[0]) == 3 and outputs[0][1] == 84):
        return "persons"
    if inputs[0][2:] == [112, 112] and len(outputs[0]) == 2:
        return "embedder"
    return None
