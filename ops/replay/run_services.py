"""Services of a run: processes of its own, for as long as they have work."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ops.local_stack.supervisor import Child, Supervisor
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.runs import Run

_BATCH_SECONDS = "0.5"
"""Batch time of a run's sinks: nobody waits for its rows, so transactions are large."""

_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Workers:
    """A service of a run, its number of processes, and additions to their environment."""

    service: str
    count: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)


def run_services(
    settings: Settings,
    run: Run,
    workers: Sequence[Workers],
    stop: Stop,
    is_done: Callable[[], bool] | None,
) -> bool:
    """Run services of a run until `is_done()`; None waits until they end by themselves.

    Returns False if `stop` was requested before, or the services were stopped by another process.
    """
    services_stop = Stop(settings.shutdown_seconds)
    supervisor = Supervisor(
        [
            _child(settings, run, service, number)
            for service in workers
            for number in range(1, service.count + 1)
        ]
    )
    thread = threading.Thread(target=supervisor.run, args=(services_stop,), name=f"run {run.name}")
    thread.start()
    try:
        stop.health.mark_ready()
        while thread.is_alive() and not stop.is_set():
            stop.beat()
            if is_done is not None and is_done():
                return True
            stop.wait(_POLL_SECONDS)
        return not stop.is_set() and is_done is None
    finally:
        services_stop.request()
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
