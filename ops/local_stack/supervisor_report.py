"""State of the services that supervisors run, as each supervisor reports it over HTTP."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.local_stack.admin_client import request_pages
from ops.local_stack.process_registry import SUPERVISOR
from sightline.runtime.service_discovery import targets

PAGE: Final = "/services"
"""Path of the report at a supervisor's HTTP endpoint."""

UP: Final = "up"
STARTING: Final = "starting"
DOWN: Final = "down"
RESTARTING: Final = "restarting"
"""State of a running process after repeated failures."""


@dataclass(frozen=True, slots=True)
class SupervisedProcess:
    """Process that a supervisor is to run."""

    service: str
    instance: str
    host: str
    process: int | None
    """Process id; None while there is none."""
    state: str
    detail: str
    """End of the process before, and its reason; empty if all is well."""

    @property
    def is_failing(self) -> bool:
        """True if the process does not run, or has failed repeatedly."""
        return self.state in (DOWN, RESTARTING)


def supervised_processes(home: Path) -> list[SupervisedProcess]:
    """Return the processes of a home's supervisors; a supervisor without an answer adds none."""
    supervisors = [target for target in targets(home) if target.service == SUPERVISOR]
    processes = []
    for _, body in request_pages(supervisors, PAGE):
        try:
            processes += [SupervisedProcess(**fields) for fields in json.loads(body)["services"]]
        except (ValueError, KeyError, TypeError):  # a supervisor of another version
            continue
    return processes
