"""The product's code speaks the glossary's language: docstrings, identifiers, names of classes."""

import ast

import pytest

from tests import words


@pytest.mark.parametrize("kind", words.KINDS)
def test_there_is_none(kind: str) -> None:
    faults = words.KINDS[kind]()
    assert not faults, "\n".join([f"{len(faults)} {kind}", *map(str, faults)])


def test_every_name_that_classes_share_is_shared() -> None:
    names = [
        node.name
        for _, nodes in words.modules()
        for node in nodes
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name in words.SHARED_CLASSES if names.count(name) < 2] == []


@pytest.mark.parametrize(
    ("docstring", "count"),
    [
        ("What is kept.", 1),
        ("All that is kept.", 1),
        ("Whose track it is.", 1),
        ("Return what is kept.", 0),
        ("Whole seconds.", 0),
        ("Those of a camera.", 1),
    ],
)
@pytest.mark.parametrize(
    "code", ['"""{}"""', 'def f():\n    """{}"""', 'class C:\n    x: int = 0\n    """{}"""']
)
def test_a_docstring_that_begins_with_a_pronoun_is_found(
    docstring: str, count: int, code: str
) -> None:
    nodes = ast.walk(ast.parse(code.format(docstring)))
    assert sum(map(words.is_pronoun, [text for _, text in words.docstrings(nodes)])) == count


@pytest.mark.parametrize(
    ("code", "retired"),
    [
        ("class StrangerIndex: pass", ["stranger"]),
        ("def give_up_now(): pass", ["give_up"]),
        ("def f(wanted): pass", ["wanted"]),
        ("class S:\n    newcomer_shots: int = 3", ["newcomer", "shots"]),
        ("NEEDLES = ()", ["needles"]),
        ("Counter('sightline_strangers_total', '')", ["strangers"]),
        ("Option('--newcomers')", ["newcomers"]),
        ("app.command('roster')(run)", ["roster"]),
        ("def f():\n    said = 1", []),
        ("def stronger(): pass", []),
        ("message = 'a stranger'", []),
    ],
)
def test_a_retired_word_is_found_in_what_has_a_name(code: str, retired: list[str]) -> None:
    found = [
        word
        for _, name in words.identifiers("package/module.py", ast.walk(ast.parse(code)))
        for word in words.retired_in(name)
    ]
    assert sorted(found) == retired
