"""`sightline encryption`: create keys, list encrypted data by key, encrypt it anew."""

import typer

from ops.cli.audited import audited
from ops.terminal import JsonOption, console, print_json, print_rows, progress_console
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings

app = typer.Typer(name="encryption", no_args_is_help=True, help="Encryption at rest.")

_LOG = (
    "What was there before is in PostgreSQL's old write-ahead log until that is written over, and"
    " in backups and bucket versions of before."
)


@app.command("new-key")
def new_key() -> None:
    """Print a new key. Store it with your secrets: without it nothing can be decrypted."""
    from sightline.storage import encryption  # noqa: PLC0415

    print(encryption.new_key())  # noqa: T201 - nothing but the key


@app.command("status")
@audited("encryption.status")
def status(as_json: JsonOption = False) -> None:
    """Count the stored rows and objects by encryption key."""
    from ops.encryption.re_encrypt import count_by_key  # noqa: PLC0415
    from sightline.storage.encryption import Encryption  # noqa: PLC0415

    settings = load_settings()
    keyring = Encryption(settings).key_ring()
    title = f"Encrypted with {keyring.current.hex()}" if keyring else "Encryption is off"
    print_rows(count_by_key(settings), title=title, as_json=as_json)


@app.command("rotate")
@audited("encryption.rotate")
def rotate(as_json: JsonOption = False) -> None:
    """Encrypt everything with the first key that is set: plain data and data of other keys.

    Services go on meanwhile; restart them first if keys are not read from a secret store. An
    interrupted run continues when it is started again.
    """
    from ops.encryption.re_encrypt import re_encrypt  # noqa: PLC0415

    with progress_console.status("encrypting") as status_line:
        result = re_encrypt(
            load_settings(), lambda table: status_line.update(f"encrypting: {table}")
        )
    if as_json:
        encrypted = {"key": result.key, "encrypted": result.re_encrypted}
        print_json(encrypted | {"refused": result.refused, "free": result.unused_keys})
    else:
        for table, count in sorted(result.re_encrypted.items()):
            console.print(f"{table}: {count} encrypted")
        console.print(f"Everything is encrypted with the key {result.key}.")
        if result.unused_keys:
            console.print(f"No longer needed: the keys {', '.join(result.unused_keys)}.")
        if result.re_encrypted:
            console.print(_LOG)
    if result.refused:
        raise SightlineError(
            f"{len(result.refused)} could not be decrypted and were left, {result.refused[0]} the"
            " first: bring them back from a backup, or delete them"
        )
