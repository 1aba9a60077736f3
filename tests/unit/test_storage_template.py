"""The template of Kafka's formatted folders: ids of each home, the tool where anything is new."""

import stat
from pathlib import Path

import pytest

from ops.local_stack import storage_template

IDS = {"cluster.id": "Sother", "node.id": "2", "directory.id": "Smine"}


@pytest.fixture
def formatted(tmp_path: Path) -> Path:
    """A folder as the tool leaves it."""
    folder = tmp_path / "formatted"
    folder.mkdir()
    meta = "#\n#Sat Nov 28 17:21:51 UTC 2026\nnode.id=1\ndirectory.id=D\nversion=1\ncluster.id=A\n"
    (folder / "meta.properties").write_text(meta)
    (folder / "bootstrap.checkpoint").write_bytes(b"\0features\xff")
    return folder


def test_a_copy_is_the_same_but_for_its_ids(tmp_path: Path, formatted: Path) -> None:
    template, copy = tmp_path / "template", tmp_path / "copy"
    assert not storage_template.copy(template, copy, IDS)
    assert not copy.exists()
    storage_template.keep(formatted, template)
    assert storage_template.copy(template, copy, IDS)
    assert storage_template.properties(copy / "meta.properties") == IDS | {"version": "1"}
    assert (copy / "bootstrap.checkpoint").read_bytes() == b"\0features\xff"
    assert sorted(path.name for path in copy.iterdir()) == [
        "bootstrap.checkpoint",
        "meta.properties",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in copy.iterdir()} == {0o600}


@pytest.mark.parametrize("change", ["more=1", "version=2", None])
def test_what_is_not_known_is_left_to_the_tool(
    tmp_path: Path, formatted: Path, change: str | None
) -> None:
    meta = formatted / "meta.properties"
    meta.write_text(f"{meta.read_text()}{change}\n" if change else "")
    storage_template.keep(formatted, tmp_path / "template")
    assert not storage_template.copy(tmp_path / "template", tmp_path / "copy", IDS)
    assert not (tmp_path / "copy").exists()


def test_nothing_is_kept_in_a_cache_that_cannot_be_written(tmp_path: Path, formatted: Path) -> None:
    template = tmp_path / "missing" / "template"
    storage_template.keep(formatted, template)
    assert not template.exists()
    assert not storage_template.copy(template, tmp_path / "copy", IDS)
