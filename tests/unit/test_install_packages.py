"""`make demo` shows how far it is while packages are installed; what pip says when it fails."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import ROOT

PIP = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
print("Looking in indexes: https://pypi.org/simple", flush=True)
for name in ("numpy", "rich"):
    print(f"Collecting {name}==1.0 (from -r lock (line 1))", flush=True)
    print(f"  Downloading {name}-1.0-py3-none-any.whl (7.1 MB)", flush=True)
    time.sleep(0.3)
print("Installing collected packages: numpy, rich", flush=True)
(folder / "numpy-1.0.dist-info").mkdir()
time.sleep(0.3)
if sys.argv[2:]:
    sys.exit("ERROR: no space left")
"""


@pytest.fixture
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("installer", ROOT / "deploy/install_packages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("failing", [(), ("failing",)], ids=["well", "failing"])
def test_the_packages_are_counted_and_named_as_they_come(
    installer: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    failing: tuple[str, ...],
) -> None:
    (tmp_path / "pip-24.0.dist-info").mkdir()  # not of the lock
    progress = installer.Progress(2, tmp_path)
    status = installer.run([sys.executable, "-c", PIP, str(tmp_path), *failing], progress, 0.01)
    assert status == len(failing)
    shown = capsys.readouterr().err
    assert ": fetching 1 of 2 packages: numpy (7.1 MB)\n" in shown
    assert ": fetching 2 of 2 packages: rich (7.1 MB)\n" in shown
    assert ": unpacked 1 of 2 packages\n" in shown
    assert ("ERROR: no space left" in shown) == bool(failing)
