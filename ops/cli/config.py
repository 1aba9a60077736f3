"""`sightline config`."""

import typer

from ops.terminal import JsonOption, print_rows
from sightline.runtime.settings import load_settings

_app = typer.Typer(help="The settings of this installation.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="config")


@_app.command("show")
def _show(as_json: JsonOption = False) -> None:
    """Every setting, its value and who says so; secrets are hidden."""
    from sightline.runtime.settings.provenance import stated  # noqa: PLC0415 - as little as possible for --help

    print_rows(stated(load_settings()), title="Settings", as_json=as_json)


@_app.command("check")
def _check(as_json: JsonOption = False) -> None:
    """Try what is set: secrets, files, servers, models. Exits with 1 when something is wrong."""
    from ops.config_check import check  # noqa: PLC0415

    found = check(load_settings())
    rows = [
        {"part": one.part, "state": "right" if one.is_right else "wrong", "detail": one.detail}
        for one in found
    ]
    print_rows(rows, title="What is set", as_json=as_json)
    if not all(one.is_right for one in found):
        raise typer.Exit(1)
