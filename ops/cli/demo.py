"""`sightline demo`."""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ops.terminal import JsonOption, console, print_json

app = typer.Typer()


@app.command("demo")
def _demo(
    video: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILM", help="A film of yours, a camera each; instead of the demo's."),
    ] = None,
    enrol: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PHOTO", help="A person to enrol, with a photo."),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A folder of ONNX files to use.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to run; a new one by default.")
    ] = None,
    monitoring: Annotated[
        bool, typer.Option("--monitoring", help="Have a Prometheus watch it.")
    ] = False,
    secure: Annotated[
        bool, typer.Option("--secure", help="With TLS, passwords and rights, as `up --secure`.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the whole pipeline on two small films, or on yours, and check its results.

    Exit status 1 if a person was missed or named wrongly.
    """
    from ops.demo import report  # noqa: PLC0415 - loads model runtimes
    from ops.demo.run import play, validated_request  # noqa: PLC0415

    # A shell starts background jobs with SIGINT ignored, so both signals get the handler.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _end)
    request = validated_request(video or [], enrol or [], models, home)
    outcome = play(request, monitoring=monitoring, secure=secure)
    if as_json:
        print_json(outcome.summary)
    else:
        report.print_rows(outcome.output)
        report.print_nearest(outcome.output)
        if outcome.verdict is not None:
            report.print_verdict(outcome.verdict)
        report.print_summary(outcome.summary)
        console.print(f"pictures: {outcome.summary['contact_sheet']}", soft_wrap=True)
        console.print(f"to look at it: SIGHTLINE_HOME={outcome.home} sightline up", soft_wrap=True)
    if not outcome.passed:
        raise typer.Exit(1)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End like Ctrl-C does, so that all processes that were started are stopped."""
    raise KeyboardInterrupt
