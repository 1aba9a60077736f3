"""The command line: every group of commands, and one place where errors become one line."""

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from sightline import __version__
from sightline.errors import InfrastructureError, SightlineError
from sightline.log import configure_logging

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
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as vision.shots=7."),
    ] = None,
) -> None:
    if version:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit
    if given:
        from sightline.settings import command  # noqa: PLC0415 - as little as possible for --help

        command(given)


def _assemble() -> None:
    # Imported here, so that `import sightline.cli` alone does no work.
    from sightline.cli import (  # noqa: PLC0415
        audit,
        backup,
        calibrate,
        config,
        demo,
        dlq,
        encryption,
        enrol,
        erase,
        explain,
        health,
        keys,
        logs,
        models,
        people,
        persons,
        replay,
        runs,
        search,
        services,
        stack,
        users,
    )

    for module in (
        stack,
        services,
        health,
        enrol,
        people,
        persons,
        search,
        logs,
        models,
        calibrate,
        config,
        backup,
        demo,
        replay,
        runs,
        explain,
        dlq,
        audit,
        encryption,
        erase,
        keys,
        users,
    ):
        module.register(app)
    for point in entry_points(group="sightline.commands"):
        app.add_typer(point.load(), name=point.name)


def main() -> None:
    """Run a command; what a person can act on is one line on stderr and exit status 1."""
    configure_logging("WARNING", kafka=False)
    try:
        _assemble()
        app()
    except (SightlineError, InfrastructureError) as error:
        print(f"sightline: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
