"""`sightline dlq`: what services gave up on, to look at, to try again, or to let be."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.caller import caller
from ops.dead_letters import letters
from ops.dead_letters.letters import Choice, Letter, LetterId
from ops.dead_letters.record_preview import readable
from ops.terminal import JsonOption, console, print_json, print_rows, printable
from sightline.audit import trail
from sightline.runtime.clock import to_datetime
from sightline.runtime.errors import SightlineError
from sightline.runtime.private_files import private
from sightline.runtime.settings import Settings, load_settings

app = typer.Typer(help="Records that could not be processed.", no_args_is_help=True)

ServiceOption = Annotated[str | None, typer.Option("--service", help="Given up by this service.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Given up for this reason.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="As in `dlq list`: 0@17.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every letter that nobody decided on.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="dlq")


@app.command("list")
@audited("dlq.list")
def list_letters(
    service: ServiceOption = None,
    reason: ReasonOption = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="Also what was replayed or dropped.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")
    ] = 50,
    as_json: JsonOption = False,
) -> None:
    """What waits for a decision; latest first."""
    rows: deque[dict[str, Any]] = deque(maxlen=limit)
    for letter in letters.read(load_settings(), Choice(service=service, reason=reason)):
        if decided or letter.fate is None:
            rows.append(_row(letter) if as_json else _brief(letter, decided))
    trail.shown(rows=len(rows))
    print_rows(list(reversed(rows)), title="Dead letters", as_json=as_json)


@app.command()
@audited("dlq.show")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As in `dlq list`: 0@17.")],
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Write the record's bytes to this file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """One letter: the record, where it came from, why it was given up, and where in the program.

    Pictures and vectors are not printed; with --raw the file has them.
    """
    letter = letters.find(load_settings(), LetterId.parse(letter_id))
    trail.shown(letters=[str(letter.id)])
    if raw is not None:
        _write(raw, letter.message.value)
    told = _row(letter) | {
        "headers": {one.key: one.value.decode(errors="replace") for one in letter.message.headers},
        "record": readable(letter.message.source.topic, letter.message.value),
        "stack": letter.message.stack,
    }
    if as_json:
        print_json(told)
        return
    record, stack = told.pop("record"), told.pop("stack")
    rows = [{"what": what, "is": _line(is_)} for what, is_ in told.items() if is_ not in (None, {})]
    print_rows(rows, title=f"Dead letter {letter.id}", as_json=False)
    if record is None:
        console.print("The record is not what its topic holds: see --raw.")
    else:
        console.print_json(data=record)
    console.print(printable(stack.rstrip()), markup=False, highlight=False, soft_wrap=True)


@app.command()
@audited("dlq.replay")
def replay(
    ids: Ids = None,
    service: ServiceOption = None,
    reason: ReasonOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let the service that gave records up try them once more, where they came from."""
    choice = _choice(ids, service, reason, everything)
    _decide(letters.replay, choice, "replayed", as_json)


@app.command()
@audited("dlq.drop")
def drop(
    ids: Ids = None,
    service: ServiceOption = None,
    reason: ReasonOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let letters be; they stay in their topic until it is cleaned up."""
    choice = _choice(ids, service, reason, everything)
    _decide(letters.drop, choice, "dropped", as_json)


def _choice(
    ids: list[str] | None, service: str | None, reason: str | None, everything: bool
) -> Choice:
    ways = [bool(ids), bool(service or reason), everything]
    if sum(ways) != 1:
        raise SightlineError("say which: ids, or --service and --reason, or --all")
    return Choice(frozenset(map(LetterId.parse, ids or [])), service, reason)


def _decide(
    how: Callable[[Settings, Choice, str], Iterator[LetterId]],
    choice: Choice,
    what: str,
    as_json: bool,
) -> None:
    done: list[str] = []
    try:
        for letter_id in how(load_settings(), choice, caller()):
            done.append(str(letter_id))
    finally:
        # Also where it went wrong half way.
        trail.about(letters=done)
        if as_json:
            print_json({what: done})
        else:
            console.print(f"{len(done)} {what}", highlight=False)


def _brief(letter: Letter, decided: bool) -> dict[str, Any]:
    """What of a letter fits into a line."""
    row = _row(letter)
    keys = ["id", "time", "service", "reason", "source", "detail"]
    if decided:
        keys.append("fate")
    return {key: row[key] for key in keys}


def _row(letter: Letter) -> dict[str, Any]:
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
        "fate": fate.what if fate else None,
        "decided_by": fate.made_by if fate else None,
        "decided_at": fate.made_at if fate else None,
    }


def _moment(us: int) -> datetime | int:
    """A time, or the number that says it where it is none."""
    try:
        return to_datetime(us)
    except (ValueError, OverflowError, OSError):
        return us


def _line(value: Any) -> Any:
    return ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value


def _write(path: Path, data: bytes) -> None:
    try:
        with open(path, "wb", opener=private) as file:  # it may be a frame or a face
            file.write(data)
    except OSError as error:
        raise SightlineError(f"cannot write {path}: {error.strerror}") from error
