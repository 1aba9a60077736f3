"""The services of a run: processes of its own, for as long as there is work for them."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ops.local_stack.supervisor import Child, Supervisor
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.runs import Run

_BATCH_SECONDS = "0.5"
"""Nobody waits for a run's rows: few large transactions."""

_LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Workers:
    """A service, in how many processes, and what their environment says besides."""

    service: str
    count: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)


def work(
    settings: Settings,
    run: Run,
    workers: Sequence[Workers],
    stop: Stop,
    is_done: Callable[[], bool] | None,
) -> bool:
    """Let services of a run work until it is done; None: until they have ended by themselves.

    False where it was stopped before, or somebody else has stopped them.
    """
    until = Stop(settings.shutdown_seconds)
    supervisor = Supervisor(
        [
            _child(settings, run, one, number)
            for one in workers
            for number in range(1, one.count + 1)
        ]
    )
    thread = threading.Thread(target=supervisor.run, args=(until,), name=f"run {run.name}")
    thread.start()
    try:
        stop.health.ready()
        while thread.is_alive() and not stop:
            stop.beat()
            if is_done is not None and is_done():
                return True
            stop.wait(_LOOK_SECONDS)
        return not stop and is_done is None
    finally:
        until.request()
        thread.join()


def _child(settings: Settings, run: Run, workers: Workers, number: int) -> Child:
    name = workers.service
    arguments = ["run", name]
    if run.models is not None:
        arguments += ["--models", str(run.models)]
    environment = os.environ | dict(workers.environment)
    environment |= {
        "SIGHTLINE_HOME": str(settings.home),
        "SIGHTLINE_RUN": run.name,
        "SIGHTLINE_PACK": run.pack_setting,
        "SIGHTLINE_INSTANCE": str(number),
        "SIGHTLINE_LOG_LEVEL": settings.log_level,
        "SIGHTLINE_METRICS_PORT": "0",
        "SIGHTLINE_SINKS__BATCH_SECONDS": _BATCH_SECONDS,
        "SIGHTLINE_SINKS__PERSON_STATE_SECONDS": _BATCH_SECONDS,
    }
    return Child(name, arguments, environment)
