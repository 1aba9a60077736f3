"""Where pictures come from: films, folders, cameras on the network or on this machine."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from producers.capture import OPEN_SECONDS, open_capture, open_device, require_open
from producers.credentials import filled_in, left_out, refused
from producers.live import LiveSource
from producers.pictures import Source, SourceLostError
from producers.reels import NOTHING, Film, Folder, ReadBefore, ReelSource, Wait
from sightline.runtime.clock import Clock
from sightline.runtime.errors import SightlineError
from sightline.storage.cameras import CameraSettings, mask_uri

_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Location:
    """A URI, understood."""

    kind: str  # file, folder, network, device
    target: str  # what is opened; may hold a password

    @property
    def shown(self) -> str:
        """As it may be printed."""
        return mask_uri(self.target)


def is_live(uri: str) -> bool:
    """Whether a camera's URI is one that does not wait for us, whether or not it is there."""
    scheme, colon, _rest = uri.partition(":")
    return bool(colon and scheme.lower() in {*_PORTS, "device"}) or uri.startswith("/dev/video")


def locate(uri: str) -> Location:
    """What a camera's URI means. Raises SightlineError where it means nothing."""
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower() if colon else ""
    if scheme in _PORTS:
        return Location("network", _checked_address(uri))
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
        if path.is_dir():
            return Location("folder", str(path))
        if path.exists():
            return Location("file", str(path))
    except OSError as error:
        raise SightlineError(f"{str(path)[:200]}: {error.strerror}") from error
    except ValueError as error:  # a zero byte
        raise SightlineError(f"{str(path)[:200]!r} is no file name") from error
    raise SightlineError(f"{str(path)[:200]}: no such film or folder")


def _checked_address(uri: str) -> str:
    try:
        parts = urlsplit(left_out(uri))
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise SightlineError(f"{mask_uri(uri)[:200]}: no host, or a wrong port, in the address")
    return uri


def open_source(
    uri: str,
    settings: CameraSettings,
    clock: Clock,
    wait: Wait,
    read_before: ReadBefore = NOTHING,
) -> Source:
    """Open a camera's source; a film that has been read before goes on there.

    Raises SourceLostError with the reason when it cannot be read.
    """
    try:
        place = locate(filled_in(uri))
    except SightlineError as error:
        raise SourceLostError(str(error)) from error
    try:
        return _opened(place, settings, clock, wait, read_before)
    except SourceLostError:
        refused(uri)
        raise


def _opened(
    place: Location, settings: CameraSettings, clock: Clock, wait: Wait, read_before: ReadBefore
) -> Source:
    if place.kind == "file":
        return ReelSource(Film(Path(place.target)), settings, clock, wait, read_before)
    if place.kind == "folder":
        return ReelSource(
            Folder(Path(place.target), settings.fps), settings, clock, wait, read_before
        )
    if place.kind == "device":
        capture = require_open(
            open_device(place.target),
            f"{place.shown}: no such device, or another program has it",
        )
    else:
        _reach(place)
        capture = require_open(
            open_capture(place.target),
            f"{place.shown}: answers, but sends no video: wrong path, user, password or codec?",
        )
    return LiveSource(capture, place.shown, clock)


def _reach(place: Location) -> None:
    """Say why a host does not answer, which OpenCV does not."""
    parts = urlsplit(place.target)
    address = (parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()])
    try:
        socket.create_connection(address, timeout=OPEN_SECONDS).close()
    except TimeoutError as error:
        raise SourceLostError(f"{place.shown}: no answer in {OPEN_SECONDS:.0f} s") from error
    except OSError as error:
        raise SourceLostError(f"{place.shown}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeError as error:  # a host name that no name server can be asked for
        raise SourceLostError(f"{place.shown}: not a host name") from error
