"""The wheel holds what an installation needs, and nothing of the repository has to be near."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "-w", str(folder), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_packages_and_their_files_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"schemas", "sightline", "producers", "processors", "sinks", "api", "ops"}
    assert {
        "ops/local_stack/pom.xml",
        "ops/local_stack/log4j2.properties",
        "ops/local_stack/prometheus/prometheus.yml",
        "ops/local_stack/prometheus/rules/sightline.yml",
        "sightline/identity/measured/mobilefacenet_128.json",
        "api/static/viewer.css",
        "api/static/viewer.js",
        "schemas/sightline.proto",
        "schemas/migrations/versions/0001_main_job.py",
    } <= set(names)


def test_it_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(installed)
    # Before the repository on the path: what is imported is what was installed.
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r});"
        "import sightline, schemas, ops.cli as cli;"
        f"assert all(module.__file__.startswith({str(installed)!r})"
        " for module in (sightline, schemas, cli));"
        "sys.argv = ['sightline', '--help']; cli.main()"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=empty, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "camera" in shown.stdout and "demo" in shown.stdout
