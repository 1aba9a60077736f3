"""The command line: every group of commands, and one place where errors become one line."""

import sys
from importlib.metadata import entry_points

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
def _root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit


def _assemble() -> None:
    # Imported here, so that `import sightline.cli` alone does no work.
    from sightline.cli import (  # noqa: PLC0415
        calibrate,
        demo,
        dlq,
        enrol,
        explain,
        logs,
        models,
        people,
        persons,
        replay,
        runs,
        search,
        services,
        stack,
    )

    for module in (
        stack,
        services,
        enrol,
        people,
        persons,
        search,
        logs,
        models,
        calibrate,
        demo,
        replay,
        runs,
        explain,
        dlq,
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
