"""The query of a log: the filters and pages that the access log and the visitor log share."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api import csv_export
from api.app_context import AppContext
from api.auth.permissions import requires
from api.csv_export import WantsCsv
from api.pagination import After, Conditions, Limit, Page, Table, read_models
from sightline.audit.actor import Actor
from sightline.audit.roles import Permission
from sightline.people import employee_lookup
from sightline.storage.camera_names import CAMERA_PARAMETER

M = TypeVar("M", bound=BaseModel)

MAY_READ = requires(Permission.LOGS_READ, scoped=True)


IS_IDENTIFIED = "global_id IS NOT NULL"
"""SQL of the column `is_identified` of a log."""

GlobalId = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="a person's global id")]


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The query parameters of a log."""

    as_csv: WantsCsv
    person: Annotated[
        str | None, Query(description="a name as the log has it, NAME (CODE), or a code")
    ] = None
    global_id: GlobalId = None
    camera: str | None = None
    identified: Annotated[
        bool | None,
        Query(description="whether a face gave an identity; both if left out"),
    ] = None
    since: datetime | None = None
    until: datetime | None = None
    limit: Limit = 100
    cursor: After = None

    def conditions(
        self, context: AppContext, actor: Actor, *, name: str, camera: str, time: str
    ) -> Conditions:
        """Return the conditions of the query and of the actor's key.

        `name`, `camera` and `time` are the columns of the log that the query is about. Raises
        ConflictError for the name of several employees.
        """
        return [
            *person_conditions(context, self.person, name=name),
            ("global_id = %s", self.global_id),
            ("(global_id IS NOT NULL) = %s", self.identified),
            (f"{camera} = ANY(%s)", actor.visible_cameras()),
            (f"{camera} = {CAMERA_PARAMETER}", self.camera),
            (f"{time} >= %s", context.moment(self.since)),
            (f"{time} < %s", context.moment(self.until)),
        ]

    def answer(
        self, context: AppContext, kind: type[M], table: Table, conditions: Conditions
    ) -> Page[M] | StreamingResponse:
        """Return the page that is asked for, or all rows as CSV."""
        if self.as_csv:
            return csv_export.export(context, kind, table, conditions, self.cursor)
        with context.db() as db:
            return read_models(db, kind, table, conditions, self.limit, self.cursor)


def person_conditions(
    context: AppContext, person: str | None, *, name: str, employee: str = "employee_id"
) -> Conditions:
    """Return the conditions of a filter by person; `name` and `employee` are columns.

    Raises ConflictError, with the codes, for the name of several employees.
    """
    if not person:
        return []
    with context.db() as db:
        called, employee_id = employee_lookup.name_or_employee(db.cursor(), person)
    return [(f"{name} = %s", called), (f"{employee} = %s", employee_id)]


Log = Annotated[LogQuery, Depends()]
"""The type of a route's parameter that takes the query."""
