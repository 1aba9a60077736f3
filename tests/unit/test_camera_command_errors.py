"""What is wrong with `sightline camera add` is one line, said before anything is touched."""

import pytest
from typer.testing import CliRunner

from ops.cli.camera import app
from sightline.runtime.errors import SightlineError


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["a" * 10_000, "/tmp"], "camera_id"),
        (["bad name", "/tmp"], "camera_id"),
        (["cam", "/nowhere/at-all.mp4"], "no such film"),
        (["cam", "/tmp", "--fleet", "no/fleet"], "fleet"),
        (["cam", "/tmp", "--fleet", "hall.run-a"], "reads as the name of a run"),
        (["cam", "/tmp", "--site", ""], "site"),
        (["cam", "/tmp", "--entry-point", "x" * 10_000], "entry_point"),
        (["cam", "/tmp", "--quality", "500"], "quality"),
        (["cam", "/tmp", "--pace", "slow"], "pace"),
        (["cam", "/tmp", "--rotate", "45"], "rotate"),
        (["cam", "/tmp", "--timeout", "0"], "timeout"),
        (["cam", "/tmp", "--resolution", "1280x720"], "for devices"),
        (["cam", "device:0", "--resolution", "large"], "1280x720"),
        (["cam", "/tmp", "--start-time", "yesterday"], "ISO"),
        (["cam", "/tmp", "--start-time", "2999-01-01T00:00:00Z"], "future"),
    ],
)
def test_it_is_named_in_one_line(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["add", *arguments])
    assert isinstance(result.exception, SightlineError)
    message = str(result.exception)
    assert named in message
    assert "\n" not in message
    assert len(message) < 300
    assert not result.output
