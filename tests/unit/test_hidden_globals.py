"""The library is given its settings: programs alone load those of their process."""

import ast
from pathlib import Path

LIBRARY = Path(__file__).parents[2] / "sightline"

PROGRAMS = {"cli", "demo", "settings"}
"""Folders of programs, and of the settings themselves."""


def test_no_module_of_the_library_loads_the_settings_of_the_process() -> None:
    calls = [
        f"{path.relative_to(LIBRARY)}:{node.lineno}"
        for path in sorted(LIBRARY.rglob("*.py"))
        if PROGRAMS.isdisjoint(path.relative_to(LIBRARY).parts)
        if "load_settings" in (source := path.read_text())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name | ast.alias) and _name(node) == "load_settings"
    ]
    assert not calls


def test_a_load_of_the_settings_is_found() -> None:
    source = (
        "from sightline.runtime.settings import load_settings\nrefresh = load_settings().secrets"
    )
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name | ast.alias)]
    assert [_name(node) for node in nodes].count("load_settings") == 2


def _name(node: ast.Name | ast.alias) -> str:
    return node.id if isinstance(node, ast.Name) else node.name
