"""`sightline camera`."""

import typer

app = typer.Typer(help="Cameras.", no_args_is_help=True)
