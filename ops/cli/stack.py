"""`sightline up`, `down`, `status`, `topics`, `db`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ops.terminal import JsonOption, console, print_details, print_json, print_rows
from schemas.topics import DAY_MS, MIB, Topic
from sightline.runtime.settings import load_settings

if TYPE_CHECKING:  # --help loads little
    from ops.local_stack.status import StackStatus

app = typer.Typer()
_topics = typer.Typer(name="topics", help="Kafka's topics.", no_args_is_help=True)
_db = typer.Typer(name="db", help="The database's schema.", no_args_is_help=True)
app.add_typer(_topics)
app.add_typer(_db)


@app.command("up")
def _up(
    brokers: Annotated[
        int | None,
        typer.Option(
            help="Kafka nodes of a new home: 1, or 3 of which one may die.", show_default="1"
        ),
    ] = None,
    monitoring: Annotated[
        bool | None,
        typer.Option(
            help="Have a Prometheus watch the services; the home keeps the choice.",
            show_default="no",
        ),
    ] = None,
    secure: Annotated[
        bool,
        typer.Option(
            "--secure",
            help="TLS, passwords and least rights for each service; the home keeps the choice.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start broker, database and object store; create topics and tables. May be run again."""
    from ops.local_stack.embedded import up  # noqa: PLC0415 - --help loads little
    from ops.local_stack.status import status  # noqa: PLC0415

    settings = load_settings()
    up(settings, brokers, monitoring, secure=secure)
    print_rows(status(settings).parts, title=f"Stack in {settings.home}", as_json=as_json)


@app.command("down")
def _down() -> None:
    """Stop the services, the broker, the database and the monitoring of this home."""
    from ops.local_stack.embedded import down  # noqa: PLC0415

    stopped = down(load_settings())
    console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing ran")


@app.command("status")
def _status(as_json: JsonOption = False) -> None:
    """Report parts, cameras, services and alerts. Exits with 1 if a part or service is down."""
    from ops.local_stack.status import status  # noqa: PLC0415

    settings = load_settings()
    result = status(settings)
    if as_json:
        print_json({"home": str(settings.home), **asdict(result)})
    else:
        print_rows(result.parts, title=f"Stack in {settings.home}")
        _print_cameras(result)
        _print_services(result)
        if result.alerts:
            print_rows(result.alerts, title="Alerts")
    if not result.all_up:
        raise typer.Exit(1)


def _print_cameras(result: "StackStatus") -> None:
    if not result.is_database_up:
        console.print("Cameras: not known without the database")
        return
    rows = [{name: row[name] for name in row if name != "skipped_ratio"} for row in result.cameras]
    print_rows(rows, title="Cameras")


def _print_services(result: "StackStatus") -> None:
    if not result.services:
        console.print("Services: none; `sightline run all` starts them")
        return
    rows = [{name: row[name] for name in row if name != "detail"} for row in result.services]
    print_rows(rows, title="Services")
    print_details((str(row["service"]), row) for row in result.services)


@_topics.command("apply")
def _topics_apply(as_json: JsonOption = False) -> None:
    """Create missing topics and correct those that differ; delete nothing."""
    from sightline.storage.fleets import list_topics  # noqa: PLC0415
    from sightline.streaming.admin import apply_topics  # noqa: PLC0415

    settings = load_settings()
    changes = apply_topics(settings, list_topics(settings))
    print_rows([asdict(change) for change in changes], title="Changes", as_json=as_json)


@_topics.command("list")
def _topics_list(as_json: JsonOption = False) -> None:
    """List all topics: key, partitions, retention, and state at the broker."""
    from sightline.storage.fleets import list_topics  # noqa: PLC0415
    from sightline.streaming.admin import topic_states  # noqa: PLC0415

    settings = load_settings()
    rows = [
        {
            "topic": state.topic.name,
            "key": state.topic.key,
            "partitions": state.topic.partitions,
            "kept": _retention(state.topic),
            "max bytes": state.topic.max_record_bytes,
            "state": "missing"
            if state.partitions is None
            else "in order"
            if state.in_order
            else "differs",
        }
        for state in topic_states(settings, list_topics(settings))
    ]
    print_rows(rows, title="Topics", as_json=as_json)


@_topics.command("manifest")
def _topics_manifest(
    cluster: Annotated[str, typer.Option(help="Strimzi's name of the Kafka.")] = "sightline",
    replicas: Annotated[int, typer.Option(min=1, help="Brokers that have each record.")] = 3,
    fleet: Annotated[list[str] | None, typer.Option(help="Fleets; default without.")] = None,
) -> None:
    """Print the topics as Strimzi resources for Kubernetes, with the settings' retention."""
    from ops.rights.strimzi import manifests  # noqa: PLC0415
    from schemas.topics import DEFAULT_FLEET, all_topics  # noqa: PLC0415
    from sightline.streaming.admin import with_retention  # noqa: PLC0415

    retention = load_settings().retention
    topics = [
        with_retention(topic, retention) for topic in all_topics(tuple(fleet or [DEFAULT_FLEET]))
    ]
    typer.echo(manifests(topics, cluster, replicas), nl=False)


@_topics.command("acls")
def _topics_acls(as_json: JsonOption = False) -> None:
    """List the Kafka rights that each service needs; a secure home has them."""
    from ops.rights.kafka_acls import list_acls  # noqa: PLC0415

    rows = list(list_acls())
    print_rows(rows, title="Rights in Kafka", as_json=as_json)


def _retention(topic: Topic) -> str:
    if topic.compacted:
        return "compacted"
    size, days = topic.retention_bytes / MIB, topic.retention_ms / DAY_MS
    limits = [f"{size:g} MiB a partition"] if size > 0 else []
    limits += [f"{days:g} days"] if days > 0 else []
    return ", ".join(limits) or "for ever"


@_db.command("upgrade")
def _db_upgrade(revision: Annotated[str, typer.Argument()] = "head") -> None:
    """Migrate the tables to a revision."""
    from ops.database.migrate import upgrade  # noqa: PLC0415

    upgrade(load_settings(), revision)


@_db.command("downgrade")
def _db_downgrade(
    revision: Annotated[str, typer.Argument(help='A revision; "base" drops every table.')],
) -> None:
    """Migrate the tables back to a revision; later columns and their data are lost."""
    from ops.database.migrate import downgrade  # noqa: PLC0415

    downgrade(load_settings(), revision)


@_db.command("url")
def _db_url() -> None:
    """Print the database's URL, password included, for tools such as psql."""
    from sightline.runtime.connection_urls import database_url  # noqa: PLC0415

    typer.echo(database_url(load_settings()))
