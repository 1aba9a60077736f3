"""Template of a formatted data folder of Kafka: its tool takes a JVM that works for a second.

What the tool writes depends on Kafka's version alone, but for three ids. It is kept beside the jars
that wrote it, and is used by all homes of a user.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from sightline.runtime.private_files import write_private_file

_META = "meta.properties"
_VERSION = {"version": "1"}
"""Version of the format of that file."""


def template_path(jars: Path) -> Path:
    """Return the folder of the template of some jars."""
    return jars.with_name(f"{jars.name}-storage")


def keep(formatted: Path, template: Path) -> None:
    """Keep a copy of what the tool wrote, whole or not at all; nothing in a read-only cache."""
    if template.exists():
        return
    draft = template.with_name(f"{template.name}.{uuid4().hex}")
    try:
        draft.mkdir()
        shutil.copytree(formatted, draft, dirs_exist_ok=True)
        draft.rename(template)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)


def copy(template: Path, folder: Path, ids: Mapping[str, str]) -> bool:
    """Make a folder like the template with ids of its own; `ids` by their names in `_META`.

    Return False, without a folder, if there is no template or it has other properties.
    """
    meta = template / _META
    try:
        present = properties(meta)
    except OSError:
        return False
    if present.keys() != _VERSION.keys() | ids.keys() or not _VERSION.items() <= present.items():
        return False
    folder.mkdir(mode=0o700)
    for path in template.iterdir():
        write_private_file(folder / path.name, path.read_bytes())
    lines = (f"{name}={value}\n" for name, value in {**_VERSION, **ids}.items())
    write_private_file(folder / _META, "".join(lines).encode("ascii"))
    return True


def properties(file: Path) -> dict[str, str]:
    """Return the properties in a file of Java's format, as Kafka's tool writes it."""
    lines = file.read_text(encoding="ascii").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _separator, value in pairs}
