"""Every route and every command is in the audit trail, or on the short list with a reason."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from api import audit_middleware
from api.app import make_app
from api.audit_middleware import AuditedAction
from ops import cli
from ops.cli.audited import EXEMPT
from sightline.runtime.settings import Settings


def commands(app: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str | None]]:
    """Every command: its words, and the action that the trail has it under."""
    for one in app.registered_commands:
        assert one.callback is not None
        name = one.name or one.callback.__name__.replace("_", "-")
        yield " ".join([*path, name]), getattr(one.callback, "audit_action", None)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        group_name = group.typer_instance.info.name
        yield from commands(group.typer_instance, (*path, group_name) if group_name else path)


def routes() -> Iterator[tuple[str, list[Any]]]:
    """Every route: its path, and the dependencies that it names, in their order."""
    app = make_app(Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:9/none")))
    for context in iter_route_contexts(app.routes):
        given: Any = context.original_route
        asked = [one.dependency for one in getattr(given, "dependencies", ())]
        yield str(context.path), asked


@pytest.fixture(scope="module")
def all_commands() -> dict[str, str | None]:
    if not cli.app.registered_groups:
        cli._assemble()
    return dict(commands(cli.app))


def test_every_command_is_audited_or_says_why_not(all_commands: dict[str, str | None]) -> None:
    exempt = {
        name for name in all_commands if any(f"{name} ".startswith(f"{one} ") for one in EXEMPT)
    }
    audited_ones = {name for name, action in all_commands.items() if action is not None}
    assert len(audited_ones) >= 25
    assert all_commands.keys() - exempt == audited_ones - exempt, "neither audited nor exempt"
    assert not exempt & audited_ones, "an audited command needs no exemption"
    assert all(EXEMPT.values())


def test_no_exemption_is_for_a_command_that_is_not_there(
    all_commands: dict[str, str | None],
) -> None:
    for one in EXEMPT:
        assert any(f"{name} ".startswith(f"{one} ") for name in all_commands), one


def test_every_route_is_audited_first_of_all_or_says_why_not() -> None:
    found = list(routes())
    assert len(found) > 30
    for path, asked in found:
        places = [place for place, one in enumerate(asked) if isinstance(one, AuditedAction)]
        # First: what the others refuse is in the trail too.
        assert places == ([] if path in audit_middleware.EXEMPT else [0]), (
            f"{path} is neither or both"
        )
    assert audit_middleware.EXEMPT.keys() <= {path for path, _ in found}
    assert all(audit_middleware.EXEMPT.values())
