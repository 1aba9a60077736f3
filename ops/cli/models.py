"""`sightline models`: list, fetch and verify model packs."""

from pathlib import Path
from typing import Annotated

import typer

from ops.terminal import JsonOption, print_json, print_rows, progress_console
from sightline.runtime.settings import Settings, load_settings

app = typer.Typer(name="models", help="Models for detection and embedding.", no_args_is_help=True)

ModelsOption = Annotated[
    Path | None,
    typer.Option("--models", metavar="FOLDER", help="Folder of ONNX files instead of a pack."),
]


def with_models(settings: Settings, folder: Path | None) -> Settings:
    """Return settings that use a folder of models, if one is given."""
    if folder is None:
        return settings
    return settings.model_copy(update={"models": folder.expanduser().resolve()})


@app.command("list")
def _list(models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """List the packs, their files, and the one in use."""
    from sightline.models.packs import default_folder, resolve_pack  # noqa: PLC0415 - heavy

    settings = with_models(load_settings(), models)
    used = resolve_pack(settings)
    default = default_folder(settings)
    is_default = used.embedder is not None and used.embedder.parent == default
    where = str(default) if default.is_dir() else "not fetched: `sightline models fetch`"
    of_dlib = ("HOG faces, ResNet; no person detector", "installed with sightline")
    packs = [
        ("default", is_default, "YOLO11n, buffalo_l", where),
        ("dlib", used.embedder is None, *of_dlib),
    ]
    if settings.models is not None:
        files = ", ".join(path.name for path in (used.persons, used.faces, used.embedder) if path)
        packs.append((used.id, True, files, str(settings.models)))
    columns = ("pack", "used", "models", "where")
    rows = [dict(zip(columns, pack, strict=True)) for pack in packs]
    print_rows(rows, title="Model packs", as_json=as_json)


@app.command("fetch")
def _fetch(as_json: JsonOption = False) -> None:
    """Fetch the default pack (YOLO11n and buffalo_l, some minutes); exits with 1 if it cannot."""
    from sightline.models.fetch import fetch_default  # noqa: PLC0415 - heavy
    from sightline.models.packs import default_folder  # noqa: PLC0415 - heavy

    settings = load_settings()
    fetched = fetch_default(settings, progress_console.print)
    if as_json:
        print_json({"fetched": fetched, "folder": str(default_folder(settings))})
    if not fetched:
        raise typer.Exit(1)


@app.command("verify")
def _verify(models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """Load and run each file of the pack in use on a picture, and check fetched files."""
    from sightline.models.verify import verify_pack  # noqa: PLC0415 - heavy

    settings = with_models(load_settings(), models)
    print_rows([dict(check) for check in verify_pack(settings)], title="Models", as_json=as_json)
