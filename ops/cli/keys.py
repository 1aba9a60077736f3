"""`sightline keys`: create, list and revoke API keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from api.auth import api_keys
from ops.cli.audited import audited
from ops.terminal import JsonOption, console, print_json, print_rows
from sightline.audit.actor import command_actor
from sightline.audit.roles import Role
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer(name="keys", help="Keys for programs that use the API.", no_args_is_help=True)


@app.command("create")
@audited("keys.create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its owner or its use.")],
    role: Annotated[Role, typer.Option(help="Its rights: see docs/security.md.")],
    camera: Annotated[
        list[str] | None, typer.Option(help="Only for this camera; more than one can be given.")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(help="Only for the cameras of this site; also several.")
    ] = None,
    days: Annotated[
        int, typer.Option(min=0, max=36_500, help="Days of validity; 0 is for ever.")
    ] = 365,
    as_json: JsonOption = False,
) -> None:
    """Create a key. It is printed now and never again: only a hash is stored."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with connect(load_settings()) as db:
        new_key = api_keys.create(
            db, name, role, cameras=camera or (), sites=site or (), expires_at=expires_at,
            made_by=command_actor(),
        )  # fmt: skip
    if as_json:
        print_json({"key_id": new_key.key_id, "key": new_key.key, "expires_at": expires_at})
    else:
        console.print(new_key.key, soft_wrap=True)


@app.command("list")
@audited("keys.list")
def list_keys(as_json: JsonOption = False) -> None:
    """List all keys, revoked keys included, without their secrets."""
    with connect(load_settings()) as db:
        rows = api_keys.list_keys(db)
    if not as_json:
        rows = [
            row | {column: " ".join(row[column]) for column in ("cameras", "sites")} for row in rows
        ]
    print_rows(rows, title="Keys", as_json=as_json)


@app.command("revoke")
@audited("keys.revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` has it.")],
) -> None:
    """Revoke a key with immediate effect."""
    with connect(load_settings()) as db:
        api_keys.revoke(db, key_id, command_actor())
    console.print(f"{key_id} is revoked")
