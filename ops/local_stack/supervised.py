"""The state of the services that supervisors run, as each supervisor reports it over HTTP."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.local_stack.admin_client import ask_all
from ops.local_stack.process_registry import SUPERVISOR
from sightline.runtime.service_discovery import targets

PAGE: Final = "/services"
"""The path at the endpoint of a supervisor."""

UP: Final = "up"
STARTING: Final = "starting"
DOWN: Final = "down"
RESTARTING: Final = "restarting"
"""The process runs, and those before it have failed again and again."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """A process that a supervisor is to run."""

    service: str
    instance: str
    host: str
    process: int | None
    """Its id; None while there is none."""
    state: str
    detail: str
    """The end of the process before, and the reason; empty where all is well."""

    @property
    def is_failing(self) -> bool:
        """True if it does not run, or fails again and again."""
        return self.state in (DOWN, RESTARTING)


def supervised(home: Path) -> list[Supervised]:
    """Return what the supervisors of a home run; nothing of one that does not answer."""
    supervisors = [one for one in targets(home) if one.service == SUPERVISOR]
    found = []
    for _, body in ask_all(supervisors, PAGE):
        try:
            found += [Supervised(**one) for one in json.loads(body)["services"]]
        except (ValueError, KeyError, TypeError):  # of another version
            continue
    return found
