"""The glossary holds: its terms are unique, and retired words are in no name and no docstring."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text()

HELD = ("schemas",)
"""Packages whose names follow the glossary; a package that has been brought to it is added."""

GENERATED = re.compile(r"_pb2\.pyi?$|/migrations/")

PRONOUN = re.compile(
    r"(?:what|who|whom|whose|whether|how|where|when|which|one|those|that|this|all that"
    r"|somebody|nobody|it|he|they)\b",
    re.IGNORECASE,
)


def test_a_term_is_defined_once_and_is_not_retired() -> None:
    terms = [term for row in _rows(PAGE, columns=3) for term in row[0].split(", ")]
    assert len(terms) > 100
    assert sorted(terms) == sorted(set(terms))
    assert not _retired(PAGE) & set(terms)


def test_names_have_no_retired_word() -> None:
    retired = _retired(PAGE)
    assert {"stranger", "shot", "rival"} <= retired
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in _modules()
        for line, name in _names(ast.parse(path.read_text()))
        if retired & set(_words(name))
    ]
    assert not found, "\n".join(found)


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[:60]}"
        for path in _modules()
        for line, text in _docstrings(ast.parse(path.read_text()))
        if PRONOUN.match(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "def told(x): ...", "class NewStranger: ...", "def a(wanted_rate): ...", "shots = 3",
        "class A:\n    best_shot: int", "for known in x: ...", "RIVALS = 1",
    ],
)  # fmt: skip
def test_a_retired_word_is_found_in_every_kind_of_name(source: str) -> None:
    names = [name for _line, name in _names(ast.parse(source))]
    assert _retired(PAGE) & {word for name in names for word in _words(name)}


def test_a_docstring_that_begins_with_a_pronoun_is_found() -> None:
    source = 'def a():\n    """What it is."""\nB = 1\n"""Whose it is."""\n"""Thistles."""'
    texts = {text for _line, text in _docstrings(ast.parse(source)) if PRONOUN.match(text)}
    assert texts == {"What it is.", "Whose it is."}


def _modules() -> list[Path]:
    paths = [path for package in HELD for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in paths if not GENERATED.search(path.as_posix())]


def _rows(page: str, columns: int) -> Iterator[list[str]]:
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        is_row = line.startswith("| ") and len(cells) == columns
        if is_row and cells[0] not in ("term", "retired"):
            yield cells


def _retired(page: str) -> set[str]:
    """Return the retired words, with their plurals, that no remark limits to a meaning."""
    section = page.partition("## Retired words")[2]
    words = {
        word
        for words, _instead in _rows(section, columns=2)
        for word in words.split(", ")
        if "(" not in words and " " not in word
    }
    return words | {f"{word}s" for word in words}


def _words(name: str) -> list[str]:
    """Split a name in snake case, camel case or capitals into its words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a module defines: classes, functions, parameters and variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str):
                yield node.lineno, text
