"""`sightline camera`: add, list, test, restart and remove cameras."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from ops.cli.outbox_delivery import deliver_outbox
from ops.local_stack.camera_overload import overload_fields, skipped_ratios
from ops.terminal import JsonOption, print_json, print_line, print_rows
from producers.camera_probe import probe_camera
from producers.sources import parse_source_uri
from schemas.topics import DEFAULT_FLEET
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage import cameras, walking_times
from sightline.storage.camera_masks import MAX_MASKS, CameraMask, parse_mask
from sightline.storage.cameras import (
    DEFAULT_SITE,
    DEFAULT_TIMEOUT_SECONDS,
    CameraSettings,
    NewCamera,
    validated,
)
from sightline.storage.db import connect
from sightline.streaming.admin import ensure_fleet_topic

app = typer.Typer(name="camera", help="Cameras: the sources of pictures.", no_args_is_help=True)


Name = Annotated[str, typer.Argument(help="The camera's short name, which is its id.")]


@app.command()
def add(
    name: Name,
    uri: Annotated[
        str,
        typer.Argument(
            help="rtsp://..., http://... (MJPEG), device:0 or /dev/video0, a film, or a folder of "
            "images."
        ),
    ],
    site: Annotated[
        str, typer.Option(help="People are matched together within a site.")
    ] = DEFAULT_SITE,
    fleet: Annotated[
        str, typer.Option(help="A fleet is served by one pool of vision workers.")
    ] = DEFAULT_FLEET,
    entry_point: Annotated[
        str | None, typer.Option(help="The door that the camera sees, for the access log.")
    ] = None,
    room: Annotated[str | None, typer.Option(help="The room that the camera sees.")] = None,
    fps: Annotated[
        float | None, typer.Option(help="At most so many frames a second; the pace of a folder.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Make wider pictures so many pixels wide.")
    ] = None,
    rotate: Annotated[
        int, typer.Option(help="Turn pictures clockwise: 90, 180 or 270 degrees.")
    ] = 0,
    resolution: Annotated[
        str | None, typer.Option(help="Ask a device for pictures of this size: 1280x720.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds without a picture after which a camera counts as lost.")
    ] = DEFAULT_TIMEOUT_SECONDS,
    quality: Annotated[int, typer.Option(help="Of the JPEG, 1 to 100.")] = 85,
    motion: Annotated[
        bool, typer.Option("--motion/--no-motion", help="Publish only while something moves.")
    ] = True,
    mask: Annotated[
        list[str] | None,
        typer.Option(
            help="A polygon in which motion, people or faces do not count, by corners in fractions"
            " of the picture: faces:0.1,0.1,0.3,0.1,0.3,0.4; several kinds: people+faces:...;"
            " several times.",
        ),
    ] = None,
    pace: Annotated[
        str, typer.Option(help="Of a file or folder: real, or fast (as fast as it is taken).")
    ] = "real",
    start_time: Annotated[
        str | None,
        typer.Option(
            help="ISO time of a file's first frame; then its records are the same always."
        ),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start a file again at its end.")] = False,
) -> None:
    """Add a camera, or change the one of this name; a film that has ended plays again."""
    location = parse_source_uri(uri)
    camera = validated(
        NewCamera,
        camera_id=name,
        uri=location.target,
        site_id=site,
        fleet=fleet,
        entry_point=entry_point,
        room_id=room,
        settings=validated(
            CameraSettings,
            fps=fps,
            width=width,
            rotate=rotate,
            resolution=_resolution(resolution, location.kind),
            timeout=timeout,
            quality=quality,
            motion=motion,
            masks=_masks(mask or []),
            pace=pace,
            start_time=_start_time(start_time),
            loop=loop,
        ),
    )
    settings = load_settings()
    with connect(settings) as connection:
        ensure_fleet_topic(settings, camera.fleet)
        added = cameras.add(connection, camera)
    print_line(
        f"camera {added.camera_id}: {added.masked_uri} (site {added.site_id}, fleet {added.fleet}, "
        f"slot {added.slot})"
    )
    if added.settings.masks:
        print_line(f"masks: {_kinds_of(added.settings.masks)}")


def _masks(texts: list[str]) -> tuple[CameraMask, ...]:
    if len(texts) > MAX_MASKS:
        raise SightlineError(f"--mask is given {len(texts)} times; {MAX_MASKS} is the most")
    return tuple(parse_mask(text) for text in texts)


def _resolution(text: str | None, kind: str) -> tuple[int, int] | None:
    if text is None:
        return None
    if kind != "device":
        raise SightlineError(
            "--resolution is for devices; other pictures become smaller by --width"
        )
    size = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if not size:
        raise SightlineError(f"--resolution {text[:40]!r} is no size such as 1280x720")
    return int(size[1]), int(size[2])


def _start_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        start_time = datetime.fromisoformat(text)
    except ValueError:
        raise SightlineError(
            f"--start-time {text[:40]!r} is no ISO time such as 2026-01-31T08:00:00+01:00"
        ) from None
    start_time = start_time.astimezone()  # without a zone it is local time
    if start_time > datetime.now(start_time.tzinfo):
        raise SightlineError("--start-time lies in the future")
    return start_time


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """Show every camera and its status."""
    settings = load_settings()
    with connect(settings) as connection:
        listed_cameras = cameras.list_cameras(connection)
    ratios = skipped_ratios(settings.home)
    rows = []
    for camera in listed_cameras:
        overload = overload_fields(camera.status_detail, ratios.get(camera.camera_id))
        shown = _shown(camera) | {"detail": overload["detail"]}
        rows.append(shown | overload | _details(camera) if as_json else shown)
    print_rows(rows, title="Cameras", as_json=as_json)


def _shown(camera: cameras.Camera) -> dict[str, Any]:
    return {
        "name": camera.camera_id,
        "status": camera.status,
        "since": camera.status_at,
        "site": camera.site_id,
        "fleet": camera.fleet,
        "uri": camera.masked_uri,
        "masks": _kinds_of(camera.settings.masks),
    }


def _kinds_of(masks: Sequence[CameraMask]) -> str:
    """Return the number of masks by kind: `2 motion, 1 faces`."""
    counts = Counter(kind for mask in masks for kind in mask.kinds)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _details(camera: cameras.Camera) -> dict[str, Any]:
    return {
        "slot": camera.slot,
        "entry_point": camera.entry_point,
        "room": camera.room_id,
        "settings": camera.settings.model_dump(mode="json", exclude={"generation"}),
    }


@app.command()
def test(name: Name, as_json: JsonOption = False) -> None:
    """Open a camera and read a few pictures of it."""
    settings = load_settings()
    with connect(settings) as connection:
        camera = cameras.get(connection, name)
    result = {"name": camera.camera_id, **probe_camera(camera, secrets=settings.secrets)}
    if as_json:
        print_json(result)
    else:
        print_rows([result], title=f"Camera {camera.camera_id}")


@app.command()
def restart(name: Name) -> None:
    """Read a camera anew: a film that has ended plays again."""
    with connect(load_settings()) as connection:
        cameras.restart(connection, name)
    print_line(f"camera {name} starts anew")


@app.command()
def mask(
    name: Name,
    masks: Annotated[
        list[str] | None,
        typer.Argument(help="Masks such as faces:0.1,0.1,0.3,0.1,0.3,0.4; see `camera add`."),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove these masks; without any, all of them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add masks to a camera, or remove them; without arguments show them."""
    given_masks = _masks(masks or [])
    with connect(load_settings()) as connection:
        present = cameras.get(connection, name).settings.masks
        if not given_masks and not remove:
            rows = [{"mask": str(camera_mask)} for camera_mask in present]
            print_rows(rows, title=f"Masks of {name}", as_json=as_json)
            return
        missing = [camera_mask for camera_mask in given_masks if camera_mask not in present]
        if remove and missing:
            raise SightlineError(f"camera {name} has no mask {missing[0]}")
        if remove:
            changed = [old for old in present if given_masks and old not in given_masks]
        else:
            changed = [*present, *missing]
        cameras.set_masks(connection, name, changed)
    print_line(f"camera {name} has {_kinds_of(changed) or 'no'} masks")


@app.command()
def remove(name: Name) -> None:
    """Stop using a camera. Its logs stay."""
    with connect(load_settings()) as connection:
        cameras.remove(connection, name)
    print_line(f"camera {name} is removed; its logs stay")


@app.command()
def walk(
    camera: Annotated[str | None, typer.Argument(help="A camera.")] = None,
    other_camera: Annotated[str | None, typer.Argument(help="Another one.")] = None,
    seconds: Annotated[
        float | None, typer.Argument(help="Nobody gets from one to the other in less.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the time back.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set the walking time between two cameras; without arguments show all walking times.

    A candidate who was seen too far away a moment ago is ruled out by it.
    """
    settings = load_settings()
    with connect(settings) as connection:
        if camera is None:
            print_rows(
                walking_times.list_walking_times(connection), title="Walking times", as_json=as_json
            )
            return
        if other_camera is None or (seconds is None) != remove:
            raise SightlineError("two cameras and the seconds between them, or --remove")
        with connection.cursor() as cursor:
            if seconds is None:
                walking_times.remove(cursor, camera, other_camera)
            else:
                walking_times.set_time(cursor, camera, other_camera, seconds)
    deliver_outbox(settings)
    statement = "is unknown again" if seconds is None else f"takes {seconds:g} s at least"
    print_line(f"{camera} to {other_camera} {statement}")
