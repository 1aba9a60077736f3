"""Commands about people who sign in to the API: add, list, change the password, remove."""

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

app = typer.Typer(help="People who sign in to the API with a password.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="What they sign in with.", show_default=False)
]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="users")


@app.command("add")
@audited("users.add")
def add(
    name: Name, role: Annotated[Role, typer.Option(help="What they may do: see docs/security.md.")]
) -> None:
    """Let somebody sign in; their password is asked for, or read from standard input."""
    password = _password()
    with connect(load_settings()) as db:
        users.add(db, name, role, password, command_actor())
    console.print(f"{name} can sign in")


@app.command("list")
@audited("users.list")
def list_users(as_json: JsonOption = False) -> None:
    """Everybody who can sign in."""
    with connect(load_settings()) as db:
        print_rows(users.listed(db), title="Users", as_json=as_json)


@app.command("passwd")
@audited("users.passwd")
def passwd(name: Name) -> None:
    """Another password, asked for or from standard input; their sessions end."""
    password = _password()
    with connect(load_settings()) as db:
        users.set_password(db, name, password)
    console.print(f"{name} has another password")


@app.command("remove")
@audited("users.remove")
def remove(name: Name) -> None:
    """Let somebody sign in no more; their sessions end."""
    with connect(load_settings()) as db:
        users.remove(db, name)
    console.print(f"{name} is removed")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
