"""`sightline search`: has this person ever been here?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.logs import CameraOption, LimitOption, SinceOption, moment
from ops.cli.people import Models, settings_with
from ops.terminal import JsonOption, print_rows, progress_console
from sightline.audit import trail
from sightline.storage.db import connect


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("search")(search)


@audited("search")
def search(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo of this one face.")],
    camera: CameraOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    threshold: Annotated[
        float | None,
        typer.Option(min=-1.0, max=1.0, help="Cosine from which on; else where somebody is near."),
    ] = None,
    models: Models = None,
    as_json: JsonOption = False,
) -> None:
    """Where and when somebody who looks like this was seen, known or not; most alike first."""
    from sightline.identity import calibration_store  # noqa: PLC0415 - loads model runtimes
    from sightline.models.packs import load_pack  # noqa: PLC0415
    from sightline.people import employees  # noqa: PLC0415
    from sightline.people.face_search import search_tracks  # noqa: PLC0415
    from sightline.people.picture_files import read_photo  # noqa: PLC0415
    from sightline.people.query_face import face_of_photo  # noqa: PLC0415

    settings = settings_with(models)
    wanted = settings.match.wanted_false_name_rate
    with progress_console.status("looking at the photo"):
        pack = load_pack(settings)
        face = face_of_photo(read_photo(photo), pack, settings)
    with connect(settings) as db:
        scale = calibration_store.in_force(db, pack.id).scale(employees.count(db), wanted)
        rows = search_tracks(
            db, pack.id, face.vector, limit=limit, since=moment(since), camera=camera,
            min_score=scale.newcomer if threshold is None else threshold,
        )  # fmt: skip
    trail.shown(rows, camera=camera)
    shown = rows if as_json else [_brief(row, scale.threshold(1)) for row in rows]
    print_rows(shown, title="Sightings", as_json=as_json)


def _brief(row: dict[str, Any], safe: float) -> dict[str, Any]:
    """What of a sighting fits into a line."""
    return {
        "score": row["score"],
        "safe": "yes" if row["score"] >= safe else "no",
        "name": row["name"],
        "person": row["global_id"],
        "camera": row["camera_id"],
        "first seen": row["first_seen"],
        "last seen": row["last_seen"],
        "snapshot": row["snapshot_path"],
    }
