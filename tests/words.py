"""The words of the product's code, held against the glossary: `python -m tests.words [--list]`.

Counts three kinds of faults in the packages of the wheel: docstrings that begin with a pronoun or a
question word, identifiers made of retired words, and names that several classes share.
"""

import ast
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PRONOUNS = frozenset({
    "he", "how", "it", "nobody", "one", "she", "somebody", "that", "they", "this", "those", "what",
    "whatever", "when", "where", "wherever", "whether", "which", "who", "whoever", "whom", "whose",
})  # fmt: skip
"""First words that leave a docstring's sentence without a noun of the field."""

RETIRED = {
    "again": "rematch, retry, repeat",
    "anyway": "force",
    "asked": "request, query",
    "asks": "requests, described",
    "barred": "suppression list",
    "came": "received",
    "cast": "persons of the demo",
    "everybody": "employees, persons",
    "gained": "difference, increase",
    "given": "set, external, changes",
    "gone": "deleted",
    "heard": "message, report",
    "holdings": "topic inspector",
    "intake": "consumer metrics",
    "kept": "retained, stored",
    "known": "enrolled, listed, reference data",
    "likeness": "template similarity",
    "look": "template, observation, detection",
    "lookback": "retroactive naming",
    "looks": "learned templates",
    "needle": "id scanner",
    "needles": "id scanner",
    "newcomer": "unknown person",
    "newcomers": "unknown persons",
    "nobody": "unknown person",
    "portrait": "photo, template",
    "portraits": "photos, templates",
    "precious": "irreplaceable",
    "reached": "broker probe, operating point",
    "remark": "log a warning",
    "reseal": "re-encrypt",
    "resealed": "re-encrypted",
    "rivals": "co-visible tracks",
    "roster": "CSV import",
    "said": "reported, answer",
    "seal": "encrypt",
    "sealed": "encrypted",
    "sealing": "encryption",
    "seals": "encrypts",
    "share": "ratio",
    "shot": "observation",
    "shots": "observations",
    "somebody": "person",
    "stranger": "unknown person",
    "strangers": "unknown persons",
    "surroundings": "infrastructure metrics",
    "tally": "frame counts",
    "tell": "report, publish",
    "thing": "the noun of the field",
    "told": "reported, published",
    "took": "consumed",
    "unname": "remove the name",
    "unread": "retention headroom",
    "unsaid": "pending",
    "vouched": "provider's user",
    "wanted": "target",
    "way": "explanation, path",
    "who": "person, identity",
    "whoever": "person, identity",
    "whom": "person, identity",
    "wish": "request",
    "carry_out": "execute",
    "give_up": "release, abandon",
    "hold_on": "watch the parent",
    "leave_out": "exclude",
    "let_in": "authenticate",
    "lets_through": "allows",
    "put_aside": "postponed",
    "send_away": "reject",
    "stand_in": "replace",
    "take_back": "roll back",
}
"""Words, and words in a row, that no identifier may have as parts -> what is used instead."""

SHARED_CLASSES: dict[str, str] = {}
"""Names that several classes may have -> why: the same thing at two ends of a wire."""

STORED = {
    "0008_sealed": "a revision of the schema",
    "newcomer": "a key of stored calibrations, and of the API's answer about them",
    "portraits": "a key of stored calibrations, and of the API's answer about them",
    "shots": "a key of stored calibrations and of sightings in the API",
    "wanted_rate": "a field of the message Sighting, and of the API's answer about it",
}
"""Fields that are stored or sent by these names, and change with a migration -> where."""

_PUBLIC = re.compile(r"sightline_[a-z_]+|--[a-z-]+")
"""Strings that are the name of a metric or of a command's option."""


@dataclass(frozen=True)
class Fault:
    """A place in the code and what is wrong there."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def packages() -> list[str]:
    """The top-level packages of the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return found


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """All nodes of a syntax tree from the root on, as `ast.walk` gives them in a third of the time.

    Left out are the contexts of names (load, store), which are half of all.
    """
    nodes = [tree]
    for node in nodes:
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                nodes += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                nodes.append(value)
    return nodes


@cache
def modules() -> tuple[tuple[str, tuple[ast.AST, ...]], ...]:
    """Each module that people write: its path, and all nodes of its syntax tree from the root on.

    Generated messages are none of them.
    """
    paths = [path for package in packages() for path in sorted((ROOT / package).rglob("*.py"))]
    return tuple(
        (path.relative_to(ROOT).as_posix(), tuple(nodes_of(ast.parse(path.read_text()))))
        for path in paths
        if not path.name.endswith("_pb2.py")
    )


def docstrings(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and text of the docstrings of modules, classes, functions and attributes."""
    for node in nodes:
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        documented |= isinstance(node, ast.AsyncFunctionDef)
        for position, statement in enumerate(body):
            before = body[position - 1] if position else None
            is_first = documented and position == 0
            if not (is_first or isinstance(before, ast.Assign | ast.AnnAssign)):
                continue
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, text


def is_pronoun(docstring: str) -> bool:
    """Whether a docstring begins with a pronoun or a question word."""
    first = re.findall(r"[a-z]+", docstring.lower())[:2]
    return bool(first) and (first[0] in PRONOUNS or first == ["all", "that"])


def pronoun_docstrings() -> list[Fault]:
    """Docstrings whose first word is a pronoun or a question word."""
    return [
        Fault(path, line, text.strip().splitlines()[0])
        for path, nodes in modules()
        for line, text in docstrings(nodes)
        if is_pronoun(text)
    ]


def identifiers(path: str, nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and name of all that a reader meets by name, but for local variables.

    Packages and modules, classes, functions, parameters, constants, fields (so settings); and among
    strings those that are a metric, an option of a command, or a command.
    """
    for part in Path(path).with_suffix("").parts:
        yield 1, part
    for node in nodes:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Constant(value=str(text)) if _PUBLIC.fullmatch(text):
                yield node.lineno, text
            case ast.Call(func=ast.Attribute(attr="command"), args=[ast.Constant(value=str(text))]):
                yield node.lineno, text
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                match statement:
                    case ast.Assign(targets=targets):
                        names = [target for target in targets if isinstance(target, ast.Name)]
                    case ast.AnnAssign(target=ast.Name() as target):
                        names = [target]
                    case _:
                        names = []
                for name in names:
                    yield name.lineno, name.id


def parts(identifier: str) -> list[str]:
    """The words of an identifier in snake_case or CamelCase."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", identifier)]


@cache
def retired_in(identifier: str) -> list[str]:
    """The retired words that an identifier is made of."""
    joined = f"_{'_'.join(parts(identifier))}_"
    return [word for word in RETIRED if f"_{word}_" in joined]


def retired_identifiers() -> list[Fault]:
    """Identifiers made of retired words, once for each module."""
    faults = []
    for path, nodes in modules():
        seen = set()
        for line, name in identifiers(path, nodes):
            for word in retired_in(name):
                if name not in seen and name not in STORED:
                    faults.append(Fault(path, line, f"{name}: {word} -> {RETIRED[word]}"))
            seen.add(name)
    return faults


def shared_class_names() -> list[Fault]:
    """Classes whose name another class has as well, but for those that may."""
    places = defaultdict(list)
    for path, nodes in modules():
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                places[node.name].append((path, node.lineno))
    return [
        Fault(path, line, f"{name}: a name of {len(found)} classes")
        for name, found in sorted(places.items())
        if len(found) > 1 and name not in SHARED_CLASSES
        for path, line in found
    ]


KINDS = {
    "docstrings that begin with a pronoun": pronoun_docstrings,
    "identifiers of retired words": retired_identifiers,
    "classes that share their name": shared_class_names,
}


def main() -> None:
    """Print the counts, or with `--list` each fault (`--list PATH...`: below these paths)."""
    under = tuple(argument for argument in sys.argv[1:] if argument != "--list")
    for kind, find in KINDS.items():
        faults = [fault for fault in find() if not under or fault.path.startswith(under)]
        lines = [f"{len(faults):5} {kind}"]
        if "--list" in sys.argv:
            lines += [f"      {fault}" for fault in faults]
        else:
            places = Counter("/".join(fault.path.split("/")[:2]) for fault in faults)
            lines += [f"{count:11} {place}" for place, count in places.most_common()]
        sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
