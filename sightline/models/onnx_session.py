"""ONNX Runtime sessions, made in one place: provider, threads, and errors that say what to do."""

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from sightline.runtime.errors import SightlineError, first_line
from sightline.runtime.settings import Provider, Settings

_EXECUTION_PROVIDER: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}

_HOW_TO_GET: dict[Provider, str] = {
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
    """Raises SightlineError when insightface is not installed."""
    if not _installed("insightface"):
        raise SightlineError(
            "insightface is missing: install sightline[cpu], or beside onnxruntime-gpu "
            "`pip install --no-deps insightface`"
        )


@cache
def _onnxruntime() -> Any:
    """The module. Raises SightlineError when none or both builds of it are installed."""
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
    wanted = _EXECUTION_PROVIDER[settings.provider]
    if wanted not in available:
        raise SightlineError(
            f"provider {settings.provider} is not in this onnxruntime: "
            f"{_HOW_TO_GET[settings.provider]}"
        )
    if settings.provider == "cpu":
        return [wanted]
    if settings.provider == "openvino":
        return [wanted, "CPUExecutionProvider"]
    device = {"device_id": settings.device}
    chain: list[Any] = [(wanted, device)]
    if settings.provider == "tensorrt":
        chain.append(("CUDAExecutionProvider", device))
    return [*chain, "CPUExecutionProvider"]


def make_session(path: Path, settings: Settings) -> Any:
    """An `onnxruntime.InferenceSession` with the provider and the threads of the settings.

    Raises SightlineError when the file is missing or broken, or the provider does not work.
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


def _check_provider(session: Any, settings: Settings) -> None:
    # A provider whose libraries are missing is left out with a warning only: everything
    # would run on the CPU, and nobody would know.
    if _EXECUTION_PROVIDER[settings.provider] not in session.get_providers():
        raise SightlineError(
            f"provider {settings.provider} does not start on this machine: check its driver "
            f"and libraries, or set provider to cpu"
        )
