"""ONNX Runtime sessions: provider, threads, batches, and errors with a remedy."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from sightline.models.interface import BGRImage
from sightline.runtime.errors import SightlineError, first_line
from sightline.runtime.settings import Provider, Settings

_EXECUTION_PROVIDER: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}

CUDA_BATCH_FRAMES = 16
"""Default of `model_batch_frames` with CUDA."""

_INSTALL_HINT: dict[Provider, str] = {
    "cpu": "install sightline[cpu]",
    "cuda": "install sightline[gpu]",
    "tensorrt": "install sightline[gpu] and TensorRT",
    "openvino": "install onnxruntime-openvino instead of onnxruntime",
}


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def require_insightface() -> None:
    """Check that insightface is installed.

    Raises:
        SightlineError: It is not.
    """
    if not _installed("insightface"):
        raise SightlineError(
            "insightface is missing: install sightline[cpu], or beside onnxruntime-gpu "
            "`pip install --no-deps insightface`"
        )


@cache
def _onnxruntime() -> Any:
    """Import onnxruntime.

    Raises:
        SightlineError: None of its builds is installed, or both are.
    """
    if _installed("onnxruntime") and _installed("onnxruntime-gpu"):
        raise SightlineError(
            "onnxruntime and onnxruntime-gpu overwrite each other's files: uninstall both, "
            "then install one of them; see requirements/README.md"
        )
    try:
        import onnxruntime  # noqa: PLC0415 - a service without models must not need it
    except ImportError as error:
        raise SightlineError(
            f"onnxruntime does not load ({error}): install sightline[cpu] or sightline[gpu]"
        ) from error
    onnxruntime.set_default_logger_severity(3)  # errors come back as exceptions anyway
    return onnxruntime


def _providers(settings: Settings, available: list[str]) -> list[Any]:
    name = _EXECUTION_PROVIDER[settings.provider]
    if name not in available:
        raise SightlineError(
            f"provider {settings.provider} is not in this onnxruntime: "
            f"{_INSTALL_HINT[settings.provider]}"
        )
    if settings.provider == "cpu":
        return [name]
    if settings.provider == "openvino":
        return [name, "CPUExecutionProvider"]
    device = {"device_id": settings.device}
    chain: list[Any] = [(name, device)]
    if settings.provider == "tensorrt":
        chain.append(("CUDAExecutionProvider", device))
    return [*chain, "CPUExecutionProvider"]


def make_session(path: Path, settings: Settings) -> Any:
    """Make an `onnxruntime.InferenceSession` with the provider and the threads of the settings.

    Raises:
        SightlineError: The file is missing or broken, or the provider does not work.
    """
    runtime = _onnxruntime()
    providers = _providers(settings, runtime.get_available_providers())
    if not path.is_file():
        raise SightlineError(f"model file {path} is missing")
    if settings.provider in ("cuda", "tensorrt"):
        runtime.preload_dlls()  # CUDA and cuDNN may be packages, where nothing else finds them
    options = runtime.SessionOptions()
    # One process for each core beats threads, and waiting threads that spin take the
    # core from the other models in the process.
    options.intra_op_num_threads = settings.model_threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions share no other base class
        if type(error).__module__.startswith("onnxruntime"):
            raise SightlineError(
                f"model file {path} does not load: {first_line(error)[:300]}"
            ) from error
        raise
    if settings.provider != "cpu":
        _check_provider(session, settings)
    return session


def batch_limit(settings: Settings) -> int:
    """Return the most items of one inference call with the provider of the settings.

    On the CPU 1: with one thread a batch is no faster than its items one after the other, and the
    kernels that ONNX Runtime chooses for another batch size may round differently. The result of a
    frame must not depend on the frames that happen to come with it. 1 with TensorRT and OpenVINO
    as well: they compile a network again for each new batch size.
    """
    if settings.provider != "cuda":
        return 1
    return settings.model_batch_frames or CUDA_BATCH_FRAMES


def max_batch(session: Any, settings: Settings) -> int:
    """Return the most items of one call of a session: 1 where its batch axis is fixed."""
    [first, *_] = session.get_inputs()
    return 1 if isinstance(first.shape[0], int) else batch_limit(settings)


def batches(images: Sequence[BGRImage], limit: int) -> Iterator[Sequence[BGRImage]]:
    """Cut images into runs of one shape, in order, of `limit` images at most."""
    start = 0
    for end in range(1, len(images) + 1):
        is_full = end - start == limit
        if end == len(images) or is_full or images[end].shape != images[start].shape:
            yield images[start:end]
            start = end


def _check_provider(session: Any, settings: Settings) -> None:
    # ONNX Runtime leaves out a provider whose libraries are missing, with a warning only:
    # everything would run on the CPU unnoticed.
    if _EXECUTION_PROVIDER[settings.provider] not in session.get_providers():
        raise SightlineError(
            f"provider {settings.provider} does not start on this machine: check its driver "
            f"and libraries, or set provider to cpu"
        )
