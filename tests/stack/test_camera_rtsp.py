"""A live RTSP camera that dies and comes back: seen as down, reached again, nothing uncounted."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.local_stack.ports import free_port
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.db import connect
from tests.stack.camera_support import (
    add_camera,
    captured,
    check_events,
    counted,
    delivered,
    dropped,
    make_film,
    remove_camera,
    serving,
    status,
)
from tests.support import ROOT, eventually, program, says

pytestmark = pytest.mark.stack

_PARTS = (
    "import gi; gi.require_version('GstApp', '1.0'); gi.require_version('GstRtspServer', '1.0');"
    "from gi.repository import Gst, GstApp, GstRtspServer; Gst.init(None);"
    "assert all(map(Gst.ElementFactory.find, ['x264enc', 'h264parse', 'rtph264pay', 'jpegdec']))"
)


@pytest.fixture(scope="module")
def debian_python() -> Path:
    python = Path("/usr/bin/python3")
    try:
        found = subprocess.run([python, "-c", _PARTS], capture_output=True, check=False)
    except OSError:
        pytest.skip("no /usr/bin/python3")
    if found.returncode:
        pytest.skip(
            "needs gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-{good,bad,ugly}"
        )
    return python


@contextmanager
def rtsp_server(python: Path, film: Path, port: int, log: Path) -> Iterator[None]:
    """A server that plays the film at /door of a port; killed at the end."""
    command: list[str | Path] = [python, ROOT / "tests" / "rtsp_server.py", "--port", str(port)]
    with program([*command, "--mount", f"door={film}"], log) as server:
        says(server, log, rf"^ready {port}$", 120)
        yield


def test_a_camera_that_dies_and_comes_back(
    stack: Settings, debian_python: Path, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "a.avi", frames=60, fps=20)
    name = "rtsp-1"
    log = tmp_path / "rtsp.log"
    # Not from the ports of outgoing connections, any of which may take it between two servers.
    port = free_port(set())
    camera = add_camera(
        stack, name, f"rtsp://me:secret@127.0.0.1:{port}/door", "rtsp", motion=False, fps=10
    )
    with serving(stack):
        eventually(lambda: status(stack, name) == "down", what="nothing there yet: down")
        with rtsp_server(debian_python, film, port, log):
            eventually(lambda: delivered(name) >= 15, what="frames come")
            eventually(lambda: status(stack, name) == "up", what="up")
            assert counted("sightline_camera_up", name) == 1
        eventually(lambda: status(stack, name) == "down", what="the loss is seen")
        assert counted("sightline_camera_up", name) == 0
        with connect(stack) as connection:
            lost = cameras.get(connection, name)
        assert lost.status_detail is not None
        assert "secret" not in lost.status_detail
        before = delivered(name)
        with rtsp_server(debian_python, film, port, log):
            eventually(lambda: delivered(name) >= before + 15, what="frames come again")
            eventually(lambda: status(stack, name) == "up", what="up")
    assert counted("sightline_camera_reconnects_total", name) >= 2
    found = check_events(stack, camera)
    remove_camera(stack, name)
    assert len({frame.motion_event_id for frame in found}) == 2
    assert len(found) == delivered(name)
    assert captured(name) == delivered(name) + sum(dropped(name).values())
    assert dropped(name).get("rate_cap", 0) > 10
