"""`sightline dlq`: list, show, replay and drop dead letters."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.logs import LimitOption
from ops.cli.operator_name import operator_name
from ops.dead_letters import operations
from ops.dead_letters.operations import DeadLetterEntry, DeadLetterFilter, DeadLetterId
from ops.dead_letters.record_preview import preview_record
from ops.terminal import (
    JsonOption,
    console,
    print_fields,
    print_json,
    print_line,
    print_rows,
    printable,
)
from sightline.audit import trail
from sightline.runtime.clock import to_datetime
from sightline.runtime.errors import SightlineError
from sightline.runtime.private_files import open_private
from sightline.runtime.settings import Settings, load_settings

app = typer.Typer(
    name="dlq", help="Dead letters: records that could not be processed.", no_args_is_help=True
)

ServiceOption = Annotated[str | None, typer.Option("--service", help="Given up by this service.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Given up for this reason.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="As in `dlq list`: 0@17.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every letter without a decision.")]


@app.command("list")
@audited("dlq.list")
def list_dead_letters(
    service: ServiceOption = None,
    reason: ReasonOption = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="Also replayed and dropped letters.")
    ] = False,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters without a decision, latest first."""
    rows: deque[dict[str, Any]] = deque(maxlen=limit)
    for letter in operations.read_dead_letters(
        load_settings(), DeadLetterFilter(service=service, reason=reason)
    ):
        if decided or letter.fate is None:
            rows.append(_row(letter) if as_json else _brief(letter, decided))
    trail.write_before_showing(rows=len(rows))
    print_rows(list(reversed(rows)), title="Dead letters", as_json=as_json)


@app.command()
@audited("dlq.show")
def show(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID", help="As in `dlq list`: 0@17.")],
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Write the record's bytes to this file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter: record, source position, reason, and stack trace.

    Pictures and vectors are not printed; the file of --raw has them.
    """
    letter = operations.find_dead_letter(load_settings(), DeadLetterId.parse(dead_letter_id))
    trail.write_before_showing(letters=[str(letter.id)])
    if raw is not None:
        _write(raw, letter.message.value)
    result = _row(letter) | {
        "headers": {
            header.key: header.value.decode(errors="replace") for header in letter.message.headers
        },
        "record": preview_record(letter.message.source.topic, letter.message.value),
        "stack": letter.message.stack,
    }
    if as_json:
        print_json(result)
        return
    record, stack = result.pop("record"), result.pop("stack")
    fields = {name: _cell(value) for name, value in result.items() if value != {}}
    print_fields(fields, f"Dead letter {letter.id}")
    if record is None:
        console.print("The record is not what its topic holds: see --raw.")
    else:
        console.print_json(data=record)
    print_line(printable(stack.rstrip()))


@app.command()
@audited("dlq.replay")
def replay(
    ids: Ids = None,
    service: ServiceOption = None,
    reason: ReasonOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Publish records again, for the service that gave them up."""
    _decide(
        operations.replay_dead_letters,
        _choice(ids, service, reason, everything),
        "replayed",
        as_json,
    )


@app.command()
@audited("dlq.drop")
def drop(
    ids: Ids = None,
    service: ServiceOption = None,
    reason: ReasonOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drop letters from the list; they stay in their topic until it is cleaned up."""
    _decide(
        operations.drop_dead_letters, _choice(ids, service, reason, everything), "dropped", as_json
    )


def _choice(
    ids: list[str] | None, service: str | None, reason: str | None, everything: bool
) -> DeadLetterFilter:
    selections = [bool(ids), bool(service or reason), everything]
    if sum(selections) != 1:
        raise SightlineError("say which: ids, or --service and --reason, or --all")
    return DeadLetterFilter(frozenset(map(DeadLetterId.parse, ids or [])), service, reason)


def _decide(
    decide: Callable[[Settings, DeadLetterFilter, str], Iterator[DeadLetterId]],
    choice: DeadLetterFilter,
    outcome: str,
    as_json: bool,
) -> None:
    decided: list[str] = []
    try:
        for letter_id in decide(load_settings(), choice, operator_name()):
            decided.append(str(letter_id))
    finally:
        # The letters that were decided before an error are reported too.
        trail.add_subject(letters=decided)
        if as_json:
            print_json({outcome: decided})
        else:
            console.print(f"{len(decided)} {outcome}")


def _brief(letter: DeadLetterEntry, decided: bool) -> dict[str, Any]:
    """Return the columns of a letter that fit into a table."""
    row = _row(letter)
    keys = ("id", "time", "service", "reason", "source", "detail", *(("fate",) if decided else ()))
    return {key: row[key] for key in keys}


def _row(letter: DeadLetterEntry) -> dict[str, Any]:
    message = letter.message
    source, fate = message.source, letter.fate
    return {
        "id": str(letter.id),
        "time": _moment(message.failed_at_us),
        "service": message.service,
        "reason": message.reason,
        "detail": message.detail,
        "source": f"{source.topic}/{source.partition}@{source.offset}" if source.topic else None,
        "run": letter.run,
        "key": message.key.decode(errors="replace"),
        "bytes": len(message.value),
        "record_time": _moment(message.timestamp_ms * 1000),
        "fate": fate.decision if fate else None,
        "decided_by": fate.made_by if fate else None,
        "decided_at": fate.made_at if fate else None,
    }


def _moment(us: int) -> datetime | int:
    """Return microseconds since the epoch as a time, or unchanged if it is not a valid time."""
    try:
        return to_datetime(us)
    except (ValueError, OverflowError, OSError):
        return us


def _cell(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{name}: {part}" for name, part in value.items())


def _write(path: Path, data: bytes) -> None:
    try:
        with open(path, "wb", opener=open_private) as file:  # the bytes may show a face
            file.write(data)
    except OSError as error:
        raise SightlineError(f"cannot write {path}: {error.strerror}") from error
