"""Which services run is known by locks that die with their holders."""

import os
import sys
import time
from pathlib import Path

import pytest

from ops.local_stack.process_registry import register_process, running_services
from sightline.runtime.settings import Settings
from tests.support import eventually, program

pytestmark = pytest.mark.slow

HOLDER = """
import signal, sys
from pathlib import Path
from sightline.runtime.settings import Settings
from ops.local_stack.process_registry import register_process
with register_process("vision", Settings(home=Path(sys.argv[1]))):
    signal.pause()
"""

REGISTER_OFTEN = """
import sys
from pathlib import Path
from sightline.runtime.settings import Settings
from ops.local_stack.process_registry import register_process, running_services
settings = Settings(home=Path(sys.argv[1]))
for _ in range(300):
    with register_process("often", settings):
        pass
"""


def test_a_service_is_known_while_it_lives_and_no_longer(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert running_services(settings) == []
    with program([sys.executable, "-c", HOLDER, str(tmp_path)]) as holder:
        (found,) = eventually(lambda: running_services(settings))
        assert (found.name, found.pid, found.is_local) == ("vision", holder.pid, True)
    assert running_services(settings) == []
    assert list((tmp_path / "run").iterdir()) == []


def test_a_process_finds_itself_and_leaves_no_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with register_process("outbox", settings):
        assert [one.pid for one in running_services(settings)] == [os.getpid()]
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.slow
def test_looking_never_disturbs_a_service_that_starts(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with program([sys.executable, "-c", REGISTER_OFTEN, str(tmp_path)]) as often:
        until = time.monotonic() + 120
        while often.poll() is None:
            assert time.monotonic() < until
            running_services(settings)
        assert often.returncode == 0
