"""`sightline search`: search past sightings by a photo."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.logs import CameraOption, LimitOption, SinceOption, parse_time
from ops.cli.models import ModelsOption, with_models
from ops.terminal import JsonOption, display_zone, print_rows, progress_console
from sightline.audit import trail
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer()


@app.command("search")
@audited("search")
def search(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo of this one face.")],
    camera: CameraOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1.0, max=1.0, help="Lowest cosine similarity; by default that of a likely match."
        ),
    ] = None,
    models: ModelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List places and times of persons who look like this photo, most alike first."""
    from sightline.identity import calibration_store  # noqa: PLC0415 - loads model runtimes
    from sightline.models.packs import load_pack  # noqa: PLC0415
    from sightline.people import employees  # noqa: PLC0415
    from sightline.people.face_search import search_tracks  # noqa: PLC0415
    from sightline.people.picture_files import read_photo  # noqa: PLC0415
    from sightline.people.query_face import query_face_of_photo  # noqa: PLC0415

    settings = with_models(load_settings(), models)
    false_name_rate = settings.match.target_fpir
    with progress_console.status("looking at the photo"):
        pack = load_pack(settings)
        embedding = query_face_of_photo(read_photo(photo), pack, settings)
    with connect(settings) as db:
        scale = calibration_store.calibration_in_force(db, pack.id).scale(
            employees.count(db), false_name_rate
        )
        rows = search_tracks(
            db, pack.id, embedding, limit=limit, since=parse_time(since), camera=camera,
            zone=display_zone(),
            min_score=scale.unknown_threshold if threshold is None else threshold,
        )  # fmt: skip
    trail.write_before_showing(rows, camera=camera)
    shown = rows if as_json else [_brief(row, scale.threshold(1)) for row in rows]
    print_rows(shown, title="Sightings", as_json=as_json)


def _brief(row: dict[str, Any], threshold: float) -> dict[str, Any]:
    """Return the columns of a sighting that fit into a table."""
    return {
        "score": row["score"],
        "safe": "yes" if row["score"] >= threshold else "no",
        "name": row["name"],
        "person": row["global_id"],
        "camera": row["camera_id"],
        "first seen": row["first_seen"],
        "last seen": row["last_seen"],
        "snapshot": row["snapshot_path"],
    }
