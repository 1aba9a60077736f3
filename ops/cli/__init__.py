"""Command line: every group of commands, and one place where errors become one line."""

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from sightline import __version__
from sightline.runtime.errors import InfrastructureError, SightlineError, first_line
from sightline.runtime.log import configure_logging
from sightline.runtime.private_files import PRIVATE_UMASK

app = typer.Typer(
    name="sightline",
    help="Who was where, when, and were they allowed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting, such as evidence.observations=7."
        ),
    ] = None,
) -> None:
    if version:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit
    if assignments:
        from sightline.runtime.settings import apply_command_line  # noqa: PLC0415 - --help loads little

        apply_command_line(assignments)


_MODULES = (
    "stack", "services", "health", "enrol", "employees", "persons", "search", "logs", "models",
    "calibrate", "config", "backup", "demo", "replay", "runs", "explain", "dlq", "audit",
    "encryption", "erase", "keys", "users", "camera",
)  # fmt: skip
"""Modules of commands, in the order of the help."""

_MODULE_OF = {
    **dict.fromkeys(("up", "down", "status", "topics", "db"), "stack"),
    "run": "services", "log-level": "health", "restore": "backup",
}  # fmt: skip
"""Modules of the commands that are not named like their module, by the command's first word."""


def _assemble(word: str = "") -> None:
    """Add the commands that begin with a word; all of them if no command does.

    A command's module imports the libraries that it works with: to load them all takes longer than
    most commands run. The commands of an `app` without a name become commands of this one.
    """
    module = _MODULE_OF.get(word, word)
    for name in [module] if module in _MODULES else _MODULES:
        app.add_typer(import_module(f"{__name__}.{name}").app)


def main() -> None:
    """Run a command; an error that the operator can act on is one line on stderr, status 1."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no error
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.umask(PRIVATE_UMASK)  # files of a home and of commands may show faces
    configure_logging("WARNING", kafka=False)
    try:
        _assemble(*sys.argv[1:2])
        app()
    except (SightlineError, InfrastructureError) as error:
        _exit_with(str(error))
    except Exception as error:
        import psycopg  # noqa: PLC0415 - not every command needs it

        if not isinstance(error, psycopg.OperationalError):
            raise
        _exit_with(f"the database failed amid the work: {first_line(error)}")


def _exit_with(reason: str) -> NoReturn:
    # Python prints the text on stderr; a service's supervisor receives it too (`forkserver`).
    sys.exit(f"sightline: {reason}")
