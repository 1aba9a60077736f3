"""A service that is told to stop again and again, as by a service manager and its supervisor."""

import signal
import sys
from pathlib import Path

import pytest

from tests.support import environment, program, says

pytestmark = pytest.mark.slow

SERVICE = """
import sys
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import load_settings
stop = start_service("retention", load_settings())
print("ready", flush=True)
while not stop.is_set():
    stop.wait(0.0001)
for _ in range(3000):
    stop.request()
"""


def test_signals_that_come_close_upon_each_other_do_not_hold_a_service_up(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    command = [sys.executable, "-c", SERVICE]
    with program(command, log, env=environment(tmp_path)) as process:
        says(process, log, "^ready$")
        for _ in range(5000):
            process.send_signal(signal.SIGTERM)
        assert process.wait(120) in (0, -signal.SIGTERM)
