"""Files and folders that are their owner's alone."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ops.explain import frame_drawing
from sightline.runtime import service_discovery
from sightline.runtime.errors import SightlineError
from sightline.runtime.private_files import PRIVATE_UMASK, open_private, restrict_folder
from sightline.runtime.settings import Settings


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_closed_whether_it_is_new_or_was_there(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("longer than what follows")
    assert mode(old) == 0o666
    for path in (old, new):
        with open(path, "w", opener=open_private) as file:
            file.write("it")
        assert (mode(path), path.read_text()) == (0o600, "it")


def test_a_device_keeps_its_mode() -> None:
    before = mode(Path("/dev/null"))
    with open("/dev/null", "w", opener=open_private) as file:
        file.write("it")
    assert mode(Path("/dev/null")) == before


def test_a_frame_with_a_face_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "frame.jpg"
    jpeg = cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    frame_drawing.write(path, jpeg, None, None)
    assert mode(path) == 0o600


def test_a_folder_is_closed_once(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o2775)
    assert restrict_folder(folder)
    assert mode(folder) == 0o700
    assert not restrict_folder(folder)


def test_a_folder_for_everybody_is_refused_and_stays_open(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    for shared in (folder, Path("/")):
        before = mode(shared)
        with pytest.raises(SightlineError, match="everybody's"):
            restrict_folder(shared)
        assert mode(shared) == before


@pytest.mark.parametrize(("folder", "file"), [(0o755, 0o644), (0o700, 0o600)])
def test_another_user_s_prometheus_reads_where_services_answer_if_their_folder_is_open(
    tmp_path: Path, folder: int, file: int
) -> None:
    place = service_discovery.folder(tmp_path)
    place.mkdir(parents=True)
    place.chmod(folder)
    os.umask(PRIVATE_UMASK)  # as services have it
    service_discovery.announce("match", "127.0.0.1", 9100, Settings(home=tmp_path))
    (path,) = place.glob("*.json")
    assert mode(path) == file
