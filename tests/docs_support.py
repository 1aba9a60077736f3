"""The pages that people read, and the commands that they show."""

import re
from pathlib import Path
from typing import Any

from tests.support import ROOT

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "requirements/README.md",
                 *sorted((ROOT / "docs").rglob("*.md"))]
}  # fmt: skip
"""What each page says, by its path."""


def commands(page: str) -> list[str]:
    """The lines of a page's shell blocks in order, as `sightline` is called on a path."""
    found = []
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    for block in (text for kind, text in blocks if kind == "sh"):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            command = re.sub(r"\s+#.*", "", line).strip().removeprefix(".venv/bin/")
            found += [command] if command else []
    return found


def other_blocks(page: str) -> list[str]:
    """What stands in blocks that are no shell's."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    return [text for kind, text in blocks if kind != "sh"]


def without_code(page: str) -> str:
    """A page's prose: code shows links that are none."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", PAGES[page], flags=re.DOTALL)


def shown_in_prose(page: str) -> list[str]:
    """Every `sightline ...` between backticks."""
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    return re.findall(r"`(sightline [a-z][^`\n]*)`", text)


def folder_of(page: str) -> Path:
    """Where a page's links begin."""
    return (ROOT / page).parent


def assert_exists(command: Any, words: list[str], where: str) -> None:
    """Walk down to the command that the words name, and find every option in it."""
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, where
        command, words = command.commands[words[0]], words[1:]
    options = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in words:
        assert not word.startswith("-") or word in options, where
