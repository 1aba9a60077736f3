"""`sightline encryption`: keys, what is sealed with which, and sealing it all anew."""

import typer

from ops.cli.audited import audited
from ops.terminal import JsonOption, console, print_json, print_rows, progress_console
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Encryption at rest: keys, and what they seal.")

_LOG = (
    "What was there before is in PostgreSQL's old write-ahead log until that is written over, and"
    " in backups and bucket versions of before."
)


def register(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(app, name="encryption")


@app.command("new-key")
def new_key() -> None:
    """Print a new key, to be kept where secrets are: without it nothing can be read again."""
    from sightline.storage import encryption  # noqa: PLC0415

    print(encryption.new_key())  # noqa: T201 - nothing but the key


@app.command("status")
@audited("encryption.status")
def status(as_json: JsonOption = False) -> None:
    """How much of what is stored is sealed, and with which key."""
    from ops.encryption.re_encrypt import kept  # noqa: PLC0415

    settings = load_settings()
    print_rows(kept(settings), title=_title(), as_json=as_json)


@app.command("rotate")
@audited("encryption.rotate")
def rotate(as_json: JsonOption = False) -> None:
    """Seal everything with the first key that is set: what is plain, and what others have sealed.

    Services go on meanwhile; restart them first where keys are not read from a secret's place.
    Stopped, it goes on when it is begun again.
    """
    from ops.encryption.re_encrypt import reseal  # noqa: PLC0415

    with progress_console.status("sealing") as shown:
        done = reseal(load_settings(), lambda what: shown.update(f"sealing: {what}"))
    if as_json:
        print_json(
            {"key": done.key, "sealed": done.sealed, "refused": done.refused, "free": done.free}
        )
    else:
        for what, count in sorted(done.sealed.items()):
            console.print(f"{what}: {count} sealed")
        console.print(f"Everything is sealed with the key {done.key}.")
        if done.free:
            console.print(f"No longer needed: the keys {', '.join(done.free)}.")
        if done.sealed:
            console.print(_LOG)
    if done.refused:
        raise SightlineError(
            f"{len(done.refused)} did not open and were left, {done.refused[0]} the first: bring"
            " them back from a backup, or delete them"
        )


def _title() -> str:
    from sightline.storage.encryption import Sealing  # noqa: PLC0415

    ring = Sealing(load_settings()).ring()
    return f"Sealed with {ring.current.hex()}" if ring else "Encryption is off"
