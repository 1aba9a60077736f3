"""The tasks of CONTRIBUTING name files that exist."""

import re

from tests.support import ROOT

_PATH = re.compile(r"`([a-z_]+(?:/[\w.]+)+)`")


def test_every_file_that_a_task_names_exists() -> None:
    _, _, tasks = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where do I")
    rows = [row for row in tasks.splitlines() if row.startswith("| ") and "`" in row]
    assert len(rows) >= 10
    for row in rows:
        paths = _PATH.findall(row)
        assert paths, row
        for path in paths:
            assert (ROOT / path).exists(), f"{path} of: {row}"
