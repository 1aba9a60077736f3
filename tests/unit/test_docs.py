"""The documentation: a site that builds, links that lead somewhere, a data model that is ours."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from ops import cli
from schemas import sightline_pb2 as pb
from schemas.topics import Topic, all_topics
from tests.docs_support import (
    PAGES,
    assert_exists,
    commands,
    folder_of,
    other_blocks,
    shown_in_prose,
    without_code,
)
from tests.support import ROOT

DATA_MODEL = PAGES["docs/data-model.md"]


def anchors(page: str) -> set[str]:
    """What `#...` may name on a page."""
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower())) for title in titles}


def rows(text: str, first: str) -> Iterator[list[str]]:
    """The cells of the table whose first title is given."""
    for table in re.findall(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE):
        for line in table.splitlines():
            yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_titles_that_are_there(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if re.match(r"https?:", link):
            continue
        path, _, title = link.partition("#")
        target = (folder_of(page) / path).resolve() if path else ROOT / page
        assert target.is_file(), f"{page}: {link}"
        if title:
            assert title in anchors(str(target.relative_to(ROOT))), f"{page}: {link}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [Path(sys.executable).parent / "mkdocs", "build", "--strict", "-q",
         "-f", ROOT / "deploy/mkdocs.yml", "-d", folder],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_strictly_and_has_every_page(site: Path) -> None:
    for page in PAGES:
        if page.startswith("docs/"):
            built = site / Path(page).relative_to("docs").with_suffix(".html")
            assert "<h1" in built.read_text(), page
    assert (site / "search/search_index.json").is_file()


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert pages
    for built in pages:
        text = built.read_text()
        assert not re.findall(r"<(?:script|img|iframe|source)[^>]*src=[\"']?(?:https?:)?//", text)
        assert not re.findall(r"<link[^>]*href=[\"']?(?:https?:)?//", text), built.name
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text())


def kept(topic: Topic) -> str:
    if topic.compacted:
        return "latest of each key"
    days = f", {topic.retention_ms // 86_400_000} days" if topic.retention_ms > 0 else ""
    return f"by bytes{days}"


def test_the_data_model_has_every_topic_as_the_registry_has_it() -> None:
    told = {row[0].strip("`"): row for row in rows(DATA_MODEL, "topic")}
    registry = {re.sub(r"\.default$", ".<fleet>", one.name): one for one in all_topics()}
    assert told.keys() == registry.keys()
    for name, topic in registry.items():
        assert told[name][2:5] == [topic.key, str(topic.partitions), kept(topic)], name
        for message in re.findall(r"`(\w+)`", told[name][1]):
            assert hasattr(pb, message), name


def test_the_data_model_has_every_table_once() -> None:
    migrations = (ROOT / "schemas/migrations/versions").glob("0*.py")
    made = {
        name for path in migrations
        for name in re.findall(r"^CREATE TABLE (\w+) \(", path.read_text(), re.MULTILINE)
    }  # fmt: skip
    told = [name for row in rows(DATA_MODEL, "table") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(told) == sorted(made)


def test_commands_exist_with_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", typer.Typer())
    cli._assemble()
    program = get_command(cli.app)
    for page in PAGES:
        hidden = re.findall(r"^(?:sightline|make|docker) .*$", "\n".join(other_blocks(page)), re.M)
        assert not hidden, f"{page}: a block of commands is ```sh"
        blocks = [line for line in commands(page) if line.startswith("sightline ")]
        for line in blocks + shown_in_prose(page):
            words = shlex.split(line.partition(" | ")[0])[1:]
            assert_exists(program, words, f"{page}: {line}")
