"""Daemons are found by their command line, whatever other threads look for meanwhile."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from ops.local_stack import daemons

_CODE = "import sys; sys.stdin.read()"


@pytest.mark.slow
def test_a_search_does_not_disturb_that_of_another_thread() -> None:
    command = [sys.executable, "-c", _CODE, "found-by-this"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as child,
        ThreadPoolExecutor() as pool,
    ):
        names = [pool.submit(_names_of_all) for _ in range(20)]
        while not all(search.done() for search in names):
            found = daemons.find(lambda command: command[-1:] == ["found-by-this"])
            assert [process.pid for process in found] == [child.pid]
            assert [daemons.command_line(process) for process in found] == [command]
        child.communicate()
    assert not daemons.find(lambda command: command[-1:] == ["found-by-this"])


def _names_of_all() -> list[str]:
    return [process.info["name"] for process in psutil.process_iter(["name"])]
