"""The command line: every group of commands, and one place where errors become one line."""

import os
import sys
from importlib import import_module
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
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting, such as evidence.observations=7."
        ),
    ] = None,
) -> None:
    if version:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit
    if given:
        from sightline.runtime.settings import command  # noqa: PLC0415 - as little as possible for --help

        command(given)


_MODULES = (
    "stack", "services", "health", "enrol", "people", "persons", "search", "logs", "models",
    "calibrate", "config", "backup", "demo", "replay", "runs", "explain", "dlq", "audit",
    "encryption", "erase", "keys", "users", "camera",
)  # fmt: skip
"""In the order of the help."""

_WORDS = {
    **dict.fromkeys(("up", "down", "status", "topics", "db"), "stack"),
    "run": "services", "log-level": "health", "restore": "backup",
}  # fmt: skip
"""First words of commands whose module is called something else."""


def _assemble(word: str = "") -> None:
    """Add the command that begins with a word; all of them where none does.

    Each brings along what it works with: all of that takes longer to load than most have to do.
    """
    module = _WORDS.get(word, word)
    if module in _MODULES:
        _register(module)
        return
    _register(*_MODULES)


def _register(*modules: str) -> None:
    for name in modules:
        import_module(f"ops.cli.{name}").register(app)


def main() -> None:
    """Run a command; what a person can act on is one line on stderr and exit status 1."""
    os.umask(PRIVATE_UMASK)  # files of a home, and what commands write, show people
    configure_logging("WARNING", kafka=False)
    try:
        _assemble(*sys.argv[1:2])
        app()
    except (SightlineError, InfrastructureError) as error:
        _fail(str(error))
    except Exception as error:
        import psycopg  # noqa: PLC0415 - not every command needs it

        if not isinstance(error, psycopg.OperationalError):
            raise
        _fail(f"the database failed amid the work: {first_line(error)}")


def _fail(reason: str) -> NoReturn:
    # Printed on stderr, with exit status 1; the supervisor's children hand it on (`prefork`).
    sys.exit(f"sightline: {reason}")
