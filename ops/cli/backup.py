"""`sightline backup` and `sightline restore`."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.audited import audited
from ops.terminal import JsonOption, print_result
from sightline.runtime.settings import load_settings

app = typer.Typer()


@app.command("backup")
@audited("backup")
def back_up(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    as_json: JsonOption = False,
) -> None:
    """Back up all that cannot be recomputed: database, pictures, keys, configuration.

    Services may go on running. The folder holds biometric data: protect it like the system.
    """
    from ops.backup.system_backup import backup  # noqa: PLC0415 - --help loads little

    manifest = backup(load_settings(), folder.expanduser().absolute())
    line = f"{manifest.objects} objects and the database, revision {manifest.revision}: {folder}"
    print_result(manifest.model_dump(), line, as_json=as_json)


@app.command("restore")
@audited("restore")
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `sightline backup` has written.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the installation that is here.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restore an installation. Run `sightline up` before it, and start services after it."""
    from ops.backup.system_backup import restore as restore_folder  # noqa: PLC0415

    manifest = restore_folder(load_settings(), folder.expanduser().absolute(), replace=replace)
    line = f"the installation of {manifest.made_at} is back"
    print_result(manifest.model_dump(), line, as_json=as_json)
