"""Where all is required, a test that is skipped because something is missing fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, environment

SUITE = """
import pytest

def test_of_a_tool():
    pytest.skip("no helm here")

@pytest.mark.skipif(True, reason="no prometheus")
def test_of_a_condition():
    pass

def test_of_media():
    pytest.skip("no ../shared folder with models and media")

@pytest.mark.xfail
def test_of_a_known_fault():
    assert False
"""

WHOLE = """
import pytest
pytest.importorskip("nothing_of_this_name")
"""


def run_pytest(folder: Path, required: str) -> str:
    """Run the tests of a folder with the plugin alone; what pytest prints."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.required", "-p", "no:cacheprovider",
               "--continue-on-collection-errors"]  # fmt: skip
    return subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", folder, folder],
        cwd=ROOT,
        env=environment(folder, REQUIRE_ALL=required, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_a_skip_is_a_failure_but_for_what_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_whole.py").write_text(WHOLE)
    output = run_pytest(tmp_path, "1")
    assert "1 failed, 1 skipped, 1 xfailed, 2 errors" in output
    assert "skipped, and REQUIRE_ALL=1: no helm here" in output
    assert "4 skipped, 1 xfailed" in run_pytest(tmp_path, "")
