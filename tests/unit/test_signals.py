"""A service that is told to stop again and again, as by a service manager and its supervisor."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT, environment

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
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE], cwd=ROOT, env=environment(tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            process.stdout.readline()
            for _ in range(5000):
                process.send_signal(signal.SIGTERM)
            assert process.wait(20) in (0, -signal.SIGTERM)
        finally:
            process.kill()
