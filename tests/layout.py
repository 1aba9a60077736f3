"""Prints each package of the library with its lines and the programs that reach it: `make layout`.

A program reaches a package when a module of it imports one of the package, directly or through
others. Programs are the services that `sightline run` starts, by their entry points, and `ops`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import grimp

from tests.support import ROOT

LIBRARY = "sightline"
OPS = "ops"
PACKAGES = ("schemas", LIBRARY, "producers", "processors", "sinks", "api", OPS)


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the library."""

    name: str
    lines: int
    services: tuple[str, ...]
    """Names of the services that reach it."""
    is_reached_by_ops: bool


def graph() -> grimp.ImportGraph:
    """Return the graph of all imports between our modules, also those within functions."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def services() -> Mapping[str, str]:
    """Return the module of each service, by the name that `sightline run` takes."""
    return {point.name: point.module for point in entry_points(group="sightline.services")}


def packages(imports: grimp.ImportGraph) -> list[Package]:
    """Return every package of the library."""
    reached = {
        service: imports.find_upstream_modules(module) | {module}
        for service, module in services().items()
    }
    of_ops = {
        upstream
        for module in imports.find_descendants(OPS)
        for upstream in imports.find_modules_directly_imported_by(module)
    }
    return [
        Package(
            name,
            _lines(name),
            tuple(service for service, modules in reached.items() if _any_in(modules, name)),
            _any_in(of_ops, name),
        )
        for name in sorted(imports.find_children(LIBRARY))
    ]


def services_that_reach_ops(imports: grimp.ImportGraph) -> list[str]:
    """Return the services that import a module of `ops`, directly or not; there is to be none."""
    return [
        service
        for service, module in services().items()
        if _any_in(imports.find_upstream_modules(module), OPS)
    ]


def mutual_packages(imports: grimp.ImportGraph) -> list[tuple[str, str]]:
    """Return pairs of packages, of the library and of `ops`, that import each other."""
    pairs = []
    for root in (LIBRARY, OPS):
        names = sorted(imports.find_children(root))
        pairs += [
            (one, other)
            for number, one in enumerate(names)
            for other in names[number + 1 :]
            if _imports(imports, one, other) and _imports(imports, other, one)
        ]
    return pairs


def _imports(imports: grimp.ImportGraph, importer: str, imported: str) -> bool:
    return any(
        _any_in(imports.find_modules_directly_imported_by(module), imported)
        for module in imports.find_descendants(importer) | {importer}
    )


def _any_in(modules: "set[str]", package: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for module in modules)


def _lines(package: str) -> int:
    place = ROOT / Path(*package.split("."))
    files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    return sum(len(file.read_text().splitlines()) for file in files)


def main() -> int:
    """Print the table; return 1 where the layout is broken."""
    imports = graph()
    table = packages(imports)
    for package in table:
        by = ", ".join([*package.services, *([OPS] if package.is_reached_by_ops else [])])
        print(f"{package.name:22} {package.lines:6}  {by}")  # noqa: T201
    into_ops, mutual = services_that_reach_ops(imports), mutual_packages(imports)
    print(f"services that reach {OPS}: {', '.join(into_ops) or 'none'}")  # noqa: T201
    print(f"packages that import each other: {mutual or 'none'}")  # noqa: T201
    return 1 if into_ops or mutual else 0


if __name__ == "__main__":
    sys.exit(main())
