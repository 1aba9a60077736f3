"""`sightline backup`, `sightline restore`."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.audited import audited
from ops.terminal import JsonOption, console, print_json
from sightline.runtime.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(back_up)
    app.command("restore")(restore)


@audited("backup")
def back_up(
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    as_json: JsonOption = False,
) -> None:
    """Keep everything that cannot be made again: database, pictures, keys, configuration.

    All services may go on. The folder holds biometric data: keep it as safe as the system.
    """
    from ops.backup.system_backup import backup  # noqa: PLC0415 - as little as possible for --help

    made = backup(load_settings(), folder.expanduser().absolute())
    if as_json:
        print_json(made.model_dump())
    else:
        console.print(
            f"{made.objects} objects and the database, revision {made.revision}: {folder}"
        )


@audited("restore")
def restore(
    folder: Annotated[Path, typer.Argument(help="What `sightline backup` has written.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="In the place of what is here now.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring back what a backup has. Run `sightline up` before, and services after it."""
    from ops.backup.system_backup import restore as bring_back  # noqa: PLC0415

    made = bring_back(load_settings(), folder.expanduser().absolute(), replace=replace)
    if as_json:
        print_json(made.model_dump())
    else:
        console.print(f"the installation of {made.made_at} is back")
