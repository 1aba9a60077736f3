"""What is done by the API and at the command line is in the trail, and nobody can touch that."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient

from schemas.ids import global_id
from sightline.audit import trail_reader
from sightline.audit.roles import Role
from sightline.audit.trail_reader import TrailQuery
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import AuditSettings
from sightline.storage.db import connect
from tests.api_support import client_of
from tests.stack.commands_support import command, run

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def person(stack: Settings) -> Iterator[tuple[str, int]]:
    """Somebody enrolled: their id and their global id."""
    employee = str(uuid4())
    name = f"Audrey Audited {employee[:8]}"
    with connect(stack) as db:
        db.execute(
            "INSERT INTO employees (id, global_id, name) VALUES (%s, %s, %s)",
            (employee, global_id(employee), name),
        )
    yield employee, global_id(employee)
    with connect(stack) as db:
        db.execute("DELETE FROM employees WHERE id = %s", (employee,))


@pytest.fixture(scope="module")
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(stack) as one:
        yield one


def lines(stack: Settings, person: int, action: str) -> list[dict[str, Any]]:
    """Those that are about a person, the latest first."""
    with connect(stack) as db:
        found = trail_reader.list_lines(db, TrailQuery(person=person, action=action, limit=100))
    return [one for one in found if person in one["about"].get("persons", [])]


def last(stack: Settings) -> dict[str, Any]:
    with connect(stack) as db:
        (line,) = trail_reader.list_lines(db, TrailQuery(limit=1))
    return line


def test_who_looks_at_a_person_by_the_api_is_written_down(
    stack: Settings, client: TestClient, person: tuple[str, int]
) -> None:
    employee, who = person
    answer = client.get(f"/api/v1/employees/{employee}", headers={"X-Purpose": " a  visit "})
    assert answer.status_code == 200
    (line,) = lines(stack, who, "employees.show")
    assert (line["outcome"], line["purpose"], line["actor_kind"]) == ("done", "a visit", "key")
    assert line["address"] == "testclient"
    asked = {"search": "Audrey", "no\0parameter": "1"}
    assert client.get("/api/v1/employees", params=asked).status_code == 200
    (line,) = lines(stack, who, "employees.list")
    assert line["about"]["filters"] == ["search"]
    assert answer.json()["name"] not in json.dumps(line, default=str), "ids, no names"


def test_a_change_is_written_down_with_it_and_a_refusal_too(
    stack: Settings, client: TestClient, person: tuple[str, int]
) -> None:
    employee, who = person
    change = {"department": "archive"}
    assert client.patch(f"/api/v1/employees/{employee}", json=change).status_code == 200
    assert [one["outcome"] for one in lines(stack, who, "employees.set")] == ["done"]
    assert client.patch(f"/api/v1/employees/{employee}", json={}).status_code == 422
    assert [one["outcome"] for one in lines(stack, who, "employees.set")] == ["refused", "done"]
    with client_of(stack, Role.VIEWER) as viewer:
        assert viewer.delete(f"/api/v1/employees/{employee}").status_code == 403
    (line,) = lines(stack, who, "employees.remove")
    assert (line["outcome"], line["role"], line["about"]["status"]) == ("refused", "viewer", 403)


def test_who_does_not_say_what_for_is_refused_where_it_has_to_be_said(
    stack: Settings, person: tuple[str, int]
) -> None:
    strict = stack.model_copy(update={"audit": AuditSettings(purpose_required=True)})
    with client_of(strict) as client:
        assert client.get("/api/v1/persons").status_code == 422
        assert last(stack)["outcome"] == "refused"
        assert client.get("/api/v1/persons", headers={"X-Purpose": "a drill"}).status_code == 200
    required = {"SIGHTLINE_AUDIT__PURPOSE_REQUIRED": "true"}
    assert "--purpose" in str(command(stack, "persons", "list", **required).exception)
    run(stack, "persons", "list", "--purpose", "a drill", **required)
    assert (last(stack)["action"], last(stack)["purpose"]) == ("persons.list", "a drill")


def test_where_the_trail_cannot_be_written_nothing_is_shown(
    stack: Settings, client: TestClient, person: tuple[str, int]
) -> None:
    employee, _ = person
    with connect(stack) as db:
        db.execute("ALTER TABLE audit RENAME TO audit_away")
    try:
        answer = client.get(f"/api/v1/employees/{employee}")
        assert answer.status_code == 503
        assert employee not in answer.text
        change = {"department": "elsewhere"}
        assert client.patch(f"/api/v1/employees/{employee}", json=change).status_code >= 500
    finally:
        with connect(stack) as db:
            db.execute("ALTER TABLE audit_away RENAME TO audit")
    answer = client.get(f"/api/v1/employees/{employee}")
    assert answer.json()["department"] != "elsewhere", "not in the trail, so not done"


def test_commands_are_written_down_with_whom_they_are_about(
    stack: Settings, person: tuple[str, int]
) -> None:
    employee, who = person
    with connect(stack) as db:
        row = db.execute("SELECT name FROM employees WHERE id = %s", (employee,)).fetchone()
    name = row[0] if row else ""
    run(stack, "employees", "show", name, "--purpose", "a check")
    line = lines(stack, who, "employees.show")[0]
    assert (line["actor_kind"], line["purpose"], line["outcome"]) == ("command", "a check", "done")
    assert line["address"]
    found = json.loads(run(stack, "audit", "list", "--person", name, "--limit", "3", "--json"))
    assert found[0]["line"] == line["line"]


def test_the_database_refuses_to_change_the_trail(stack: Settings) -> None:
    run(stack, "persons", "list")
    for statement in (
        "UPDATE audit SET purpose = 'another'", "DELETE FROM audit", "TRUNCATE audit",
    ):  # fmt: skip
        with connect(stack) as db, pytest.raises(psycopg.errors.RestrictViolation):
            db.execute(statement)


def test_verify_finds_what_was_done_behind_the_programs_back(
    stack: Settings, tmp_path: Path
) -> None:
    copy = tmp_path / "trail.jsonl"
    for _ in range(3):
        run(stack, "persons", "list")
    run(stack, "audit", "export", str(copy))
    run(stack, "audit", "verify")
    run(stack, "audit", "verify", str(copy))
    end = last(stack)["line"]
    for statement, what in (
        (f"UPDATE audit SET actor_name = 'nobody' WHERE line = {end - 2}", "changed"),
        (f"DELETE FROM audit WHERE line = {end - 1}", "removed"),
        (f"DELETE FROM audit WHERE line >= {end}", "removed"),
        ("INSERT INTO audit SELECT line + 1, at, actor_kind, actor_id, actor_name, role, address,"
         " action, about, purpose, outcome, hash, sha256(hash), key_id, signature FROM audit"
         f" WHERE line = {end}", "forged"),
    ):  # fmt: skip
        with connect(stack, autocommit=True) as db:
            db.execute("CREATE TEMP TABLE kept AS SELECT * FROM audit")
            db.execute("ALTER TABLE audit DISABLE TRIGGER USER")
            db.execute(statement)
            try:
                found = trail_reader.verify(stack)
            finally:
                db.execute("TRUNCATE audit")
                db.execute("INSERT INTO audit SELECT * FROM kept")
                db.execute("ALTER TABLE audit ENABLE TRIGGER USER")
        assert what in {flaw.kind for flaw in found.flaws}, statement
    assert not trail_reader.verify(stack).flaws
    told = copy.read_text().splitlines()
    copy.write_text("\n".join([*told[:-2], told[-1]]) + "\n")
    cut = command(stack, "audit", "verify", str(copy))
    assert "is gone" in str(cut.exception)
