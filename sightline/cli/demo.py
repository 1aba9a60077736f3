"""Placeholder while the pieces are being laid."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
