"""`sightline users`: accounts that sign in to the API with a password."""

import sys
from typing import Annotated

import typer

from api.auth import users
from ops.cli.audited import audited
from ops.terminal import JsonOption, console, print_rows
from sightline.audit.actor import command_actor
from sightline.audit.roles import Role
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer(
    name="users", help="Users of the API, who sign in with a password.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


@app.command("add")
@audited("users.add")
def add(
    name: Name, role: Annotated[Role, typer.Option(help="Their rights: see docs/security.md.")]
) -> None:
    """Add a user; the password is prompted for, or read from standard input."""
    password = _password()
    with connect(load_settings()) as db:
        users.add(db, name, role, password, command_actor())
    console.print(f"{name} can sign in")


@app.command("list")
@audited("users.list")
def list_users(as_json: JsonOption = False) -> None:
    """List all users."""
    with connect(load_settings()) as db:
        print_rows(users.list_users(db), title="Users", as_json=as_json)


@app.command("passwd")
@audited("users.passwd")
def passwd(name: Name) -> None:
    """Set another password, prompted for or from standard input; sessions end."""
    password = _password()
    with connect(load_settings()) as db:
        users.set_password(db, name, password)
    console.print(f"{name} has another password")


@app.command("remove")
@audited("users.remove")
def remove(name: Name) -> None:
    """Remove a user; their sessions end."""
    with connect(load_settings()) as db:
        users.remove(db, name)
    console.print(f"{name} is removed")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
