"""Fetching of the default pack by the packages that own its weights.

buffalo_l comes by insightface's own downloader; YOLO11n is exported by ultralytics in an
environment of its own below the home, so that PyTorch is never in ours.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import venv
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from sightline.models.file_hashes import sha256_of_file
from sightline.models.onnx_session import require_insightface
from sightline.models.packs import default_folder
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

Report = Callable[[str], None]
"""Takes one line of progress."""

MANIFEST = "manifest.json"
"""Beside the fetched files: their SHA-256, by name."""

_REACHABLE_TIMEOUT_SECONDS = 5.0
_DOWNLOAD_TIMEOUT_SECONDS = 1800.0

_FACE_FILES = ("det_10g.onnx", "w600k_r50.onnx")
"""Face detector and embedder of buffalo_l; its other models are not needed."""

_PERSON_FILE = "yolo11n.onnx"
_PERSON_SIDE_PX = 320
"""Input side of the export: 3.5 times cheaper than 640, and people near a camera are large."""

_EXPORT_PACKAGES = ("ultralytics>=8.4", "onnx", "onnxslim", "onnxruntime")

_DOWNLOAD_FACES = (
    "import sys; from insightface.utils.storage import download;"
    "download('models', 'buffalo_l', force=True, root=sys.argv[1])"
)


def fetch_default(settings: Settings, report: Report) -> bool:
    """Fetch the default pack unless it is there; report a failure and return False."""
    folder = default_folder(settings)
    if folder.is_dir():
        report(f"the default pack is in {folder}")
        return True
    require_insightface()
    if not _reachable():
        report("the models cannot be downloaded from here: the pack dlib is used instead")
        return False
    draft = folder.with_name(".fetching")
    shutil.rmtree(draft, ignore_errors=True)
    ready = draft / "ready"
    ready.mkdir(parents=True)
    try:
        _fetch_faces(draft, ready, report)
        _export_persons(draft, ready, report)
        hashes = {path.name: sha256_of_file(path) for path in sorted(ready.glob("*.onnx"))}
        (ready / MANIFEST).write_text(json.dumps(hashes, indent=2))
        ready.rename(folder)
    except SightlineError as error:
        report(f"{error}: the pack dlib is used instead")
        return False
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    report(f"the default pack is in {folder}")
    return True


def recorded_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a fetched pack's files as they were fetched; empty for another pack."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError) as error:
        raise SightlineError(
            f"{path} is damaged: delete {folder} and run `sightline models fetch`"
        ) from error


def _reachable() -> bool:
    """Return True when the hosts of the weights answer within seconds."""
    answers: list[bool] = []
    # The lookup of a host's name has no time limit, so it needs a thread.
    request = threading.Thread(target=lambda: answers.append(_answers()), daemon=True)
    request.start()
    request.join(_REACHABLE_TIMEOUT_SECONDS)
    return answers == [True]


def _answers() -> bool:
    from insightface.utils.storage import model_zoo_download_url  # noqa: PLC0415 - heavy

    request = urllib.request.Request(model_zoo_download_url("buffalo_l.zip"), method="HEAD")  # noqa: S310 - https
    try:
        with urllib.request.urlopen(request, timeout=_REACHABLE_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return int(answer.status) == HTTPStatus.OK
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _fetch_faces(draft: Path, ready: Path, report: Report) -> None:
    report("fetching buffalo_l (280 MB; for non-commercial research) by insightface")
    _run("insightface's download", [sys.executable, "-c", _DOWNLOAD_FACES, str(draft)], draft)
    for name in _FACE_FILES:
        [*paths] = draft.glob(f"models/buffalo_l/**/{name}")
        if not paths:
            raise SightlineError(f"insightface's buffalo_l has no {name}")
        paths[0].rename(ready / name)


def _export_persons(draft: Path, ready: Path, report: Report) -> None:
    environment = draft / "environment"
    report("building an environment for the YOLO11n export")
    python = make_export_environment(environment)
    report("exporting YOLO11n by ultralytics")
    yolo = python.with_name("yolo")
    command = [str(yolo), "export", "model=yolo11n.pt", "format=onnx", f"imgsz={_PERSON_SIDE_PX}"]
    _run("ultralytics' export", command, draft)
    exported = draft / _PERSON_FILE
    if not exported.is_file():
        raise SightlineError("ultralytics' export made no file")
    exported.rename(ready / _PERSON_FILE)


def make_export_environment(folder: Path, seconds: float = _DOWNLOAD_TIMEOUT_SECONDS) -> Path:
    """Make a virtual environment with ultralytics and PyTorch; return its Python.

    Raises:
        SightlineError: An installation failed or took too long.
    """
    venv.create(folder, with_pip=True, clear=True)
    python = folder / "bin" / "python"
    _run("pip", [str(python), "-m", "pip", "install", "-q", "uv"], folder, seconds)
    install = [str(python), "-m", "uv", "pip", "install", "-q", *_EXPORT_PACKAGES]
    try:
        # uv finds PyTorch's builds without CUDA, which save gigabytes.
        _run("uv", [*install, "--torch-backend=cpu"], folder, seconds)
    except SightlineError:
        _run("the installation of ultralytics", install, folder, seconds)
    return python


def _run(
    description: str, command: list[str], folder: Path, seconds: float = _DOWNLOAD_TIMEOUT_SECONDS
) -> None:
    # Its output is progress: stdout is for results.
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false"},
            stdout=2,
            timeout=seconds,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise SightlineError(f"{description} failed ({error})") from error
    if process.returncode:
        raise SightlineError(f"{description} failed with status {process.returncode}")
