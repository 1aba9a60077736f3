"""Sources of pictures by URI: films, folders, network cameras and local devices."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from producers.camera_credentials import (
    DEFAULT_SECRETS,
    forget_credentials,
    mask_credentials,
    resolve_credentials,
)
from producers.file_source import FROM_START, FileSource, ResumePoint, Wait
from producers.film import Film
from producers.image_folder import ImageFolder
from producers.live_source import Capture, LiveSource
from producers.opencv_capture import open_capture, open_device, require_open
from producers.snapshot_capture import open_snapshot
from producers.source_interface import Source, SourceLostError
from sightline.runtime.clock import Clock
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings.groups import SecretsSettings
from sightline.storage.cameras import CameraSettings, mask_uri

_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Location:
    """The kind and target that a camera's URI stands for."""

    kind: str  # file, folder, network, device
    target: str  # path or URL to open; may hold a password

    @property
    def masked_target(self) -> str:
        """The target without credentials, for messages."""
        return mask_uri(self.target)


def is_live(uri: str) -> bool:
    """Return True for the URI of a network camera or device, reachable or not."""
    scheme, colon, _rest = uri.partition(":")
    return bool(colon and scheme.lower() in {*_PORTS, "device"}) or uri.startswith("/dev/video")


def parse_source_uri(uri: str) -> Location:
    """Parse a camera's URI. Raises SightlineError for one that names no source."""
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower() if colon else ""
    if scheme in _PORTS:
        # FFmpeg knows schemes in small letters only.
        return Location("network", _checked_address(f"{scheme}:{rest}"))
    if scheme == "device":
        return Location("device", f"/dev/video{rest}")
    if uri.startswith("/dev/video"):
        return Location("device", uri)
    if "://" in uri and scheme != "file":
        raise SightlineError(
            f"{mask_uri(uri)[:200]}: not a source; give rtsp://, http://, a device, a film or a "
            "folder"
        )
    return _on_disk(Path(uri.removeprefix("file://")).expanduser().absolute())


def _on_disk(path: Path) -> Location:
    try:
        str(path).encode()
        if path.is_dir():
            return Location("folder", str(path))
        if path.exists():
            return Location("file", str(path))
    except OSError as error:
        raise SightlineError(f"{str(path)[:200]}: {error.strerror}") from error
    except UnicodeEncodeError as error:
        name = os.fsencode(path).decode(errors="backslashreplace")[:200]
        raise SightlineError(f"{name}: the name is not UTF-8; rename it") from error
    except ValueError as error:  # a zero byte
        raise SightlineError(f"{str(path)[:200]!r} is no file name") from error
    raise SightlineError(f"{str(path)[:200]}: no such film or folder")


def _checked_address(uri: str) -> str:
    try:
        parts = urlsplit(mask_credentials(uri))
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise SightlineError(f"{mask_uri(uri)[:200]}: no host, or a wrong port, in the address")
    return uri


def open_source(
    uri: str,
    settings: CameraSettings,
    clock: Clock,
    wait: Wait,
    resume: ResumePoint = FROM_START,
    secrets: SecretsSettings = DEFAULT_SECRETS,
) -> Source:
    """Open a camera's source; a film is resumed at its resume point.

    Raises SourceLostError with the reason when it cannot be read.
    """
    try:
        location = parse_source_uri(resolve_credentials(uri, secrets))
    except SightlineError as error:
        raise SourceLostError(str(error)) from error
    try:
        return _opened(location, settings, clock, wait, resume)
    except SourceLostError:
        forget_credentials(uri, secrets)
        raise


def _opened(
    location: Location, settings: CameraSettings, clock: Clock, wait: Wait, resume: ResumePoint
) -> Source:
    if location.kind == "file":
        return FileSource(Film(Path(location.target)), settings, clock, wait, resume)
    if location.kind == "folder":
        by_exif = settings.start_time is None
        folder = ImageFolder(Path(location.target), settings.fps, clock.now_us(), by_exif=by_exif)
        return FileSource(folder, settings, clock, wait, resume)
    return _opened_live(location, settings, clock)


def _opened_live(location: Location, settings: CameraSettings, clock: Clock) -> LiveSource:
    shown, timeout = location.masked_target, settings.timeout
    capture: Capture
    if location.kind == "device":
        capture = require_open(
            open_device(location.target, settings.resolution),
            f"{shown}: no such device, or another program has it",
        )
    else:
        _check_reachable(location, timeout)
        is_web = location.target.startswith("http")
        snapshot = open_snapshot(location.target, timeout, settings.fps) if is_web else None
        capture = snapshot or require_open(
            open_capture(location.target, timeout),
            f"{shown}: answers, but sends no video within {timeout:g} s: wrong path, user, password"
            " or codec? A camera with few key frames, or a slow one, needs a longer `--timeout`",
        )
    return LiveSource(capture, shown, clock, timeout)


def _check_reachable(location: Location, timeout_seconds: float) -> None:
    """Raise SourceLostError with the reason why a host does not answer; OpenCV gives none."""
    parts = urlsplit(location.target)
    address = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
    try:
        socket.create_connection(address, timeout=timeout_seconds).close()
    except TimeoutError as error:
        raise SourceLostError(
            f"{location.masked_target}: no answer in {timeout_seconds:g} s"
        ) from error
    except OSError as error:
        raise SourceLostError(
            f"{location.masked_target}: {(error.strerror or str(error)).lower()}"
        ) from error
    except UnicodeError as error:  # the host name cannot be encoded for DNS
        raise SourceLostError(f"{location.masked_target}: not a host name") from error
