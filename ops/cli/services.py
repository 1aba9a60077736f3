"""`sightline run`."""

import gc
import multiprocessing
import os
import re
import socket
from collections.abc import Callable
from typing import Annotated

import typer

from ops.cli.models import ModelsOption, with_models
from ops.local_stack.daemons import usable_cores
from ops.local_stack.forkserver import ONE_THREAD
from ops.local_stack.process_registry import SUPERVISOR, register_process, running_services
from ops.local_stack.service_registry import jobs, services
from ops.local_stack.supervisor import Child, Supervisor
from ops.local_stack.supervisor_report import PAGE
from ops.rights.registry import RIGHTS
from schemas.topics import LIVE
from sightline.runtime.connection_urls import database_url, is_database_external, kafka_servers
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings, load_settings

_VISION = "vision"


app = typer.Typer()


@app.command("run")
def _run(
    name: Annotated[str, typer.Argument(help=f"A service, or {SUPERVISOR} of them.")],
    models: ModelsOption = None,
    vision_workers: Annotated[
        int | None, typer.Option(min=1, help="With all: vision workers; one for each core.")
    ] = None,
) -> None:
    """Run one service, or all of them, in the foreground until SIGTERM or Ctrl-C."""
    os.environ.update(ONE_THREAD)
    settings = with_models(load_settings(), models)
    parent = multiprocessing.parent_process()
    if parent is not None:
        from ops.local_stack.parent_watchdog import watch_parent  # noqa: PLC0415

        watch_parent(parent, settings.shutdown_seconds)
    if name == SUPERVISOR:
        _run_all(settings, vision_workers or usable_cores())
        return
    entries = services()
    if name not in entries:
        entries = entries | jobs()
    if name not in entries:
        raise SightlineError(
            f"no service {name}: choose one of {', '.join([SUPERVISOR, *sorted(services())])}"
        )
    # Loaded modules stay: collecting garbage among them takes a tenth of the loading time.
    gc.disable()
    service: Callable[[Settings], None] = entries[name].load()
    gc.freeze()
    gc.enable()
    if name in RIGHTS and settings.run == LIVE:  # a replay runs with the rights of the operator
        settings = settings.model_copy(update={"principal": name})
    with register_process(name, settings):
        service(settings)


def _run_all(settings: Settings, vision_workers: int) -> None:
    from sightline.runtime.lifecycle import start_service  # noqa: PLC0415

    supervisors = [process for process in running_services(settings) if process.name == SUPERVISOR]
    if supervisors:
        raise SightlineError(
            f"the services of {settings.home} run already (process {supervisors[0].pid})"
        )
    kafka_servers(settings)  # a home without a stack is reported once, not by each service
    if not is_database_external(settings):
        database_url(settings)
    supervisor = Supervisor(_children(settings, vision_workers))
    with register_process(SUPERVISOR, settings):
        stop = start_service(SUPERVISOR, settings, {PAGE: supervisor.page})
        if not supervisor.run(stop):
            raise SightlineError("not every service drained in time")


def _children(settings: Settings, vision_workers: int) -> list[Child]:
    workers = [
        (name, number)
        for name in services()
        for number in range(1, 1 + (vision_workers if name == _VISION else 1))
    ]
    return [
        _child(name, number, rank, settings) for rank, (name, number) in enumerate(workers, start=1)
    ]


def _child(name: str, number: int, rank: int, settings: Settings) -> Child:
    arguments = ["run", name]
    if settings.models is not None:
        arguments += ["--models", str(settings.models)]
    # The host's name comes first: one Kafka may serve several supervisors.
    instance = f"{(settings.instance or _host())[:56]}-{number}"
    environment = os.environ | {
        "SIGHTLINE_HOME": str(settings.home),
        "SIGHTLINE_INSTANCE": instance,
    }
    if settings.metrics_port:
        # One port cannot serve them all: the supervisor has the set port, its children the next.
        environment["SIGHTLINE_METRICS_PORT"] = str(settings.metrics_port + rank)
    return Child(name, arguments, environment, instance=instance)


def _host() -> str:
    """Return this host's name in the characters that a worker's name may have."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-") or "host"
