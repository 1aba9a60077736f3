"""Names of cameras: what people call them by, beside the ids that records and rows have.

The id is the camera's first name, and never changes: it is in record keys, in the ids of tracks
and events, and in the rows of all logs. A camera that is renamed keeps it, so that its history
follows without a row being written; every reader shows the name of today, and takes it.
"""

from collections.abc import Iterable

from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.db import Connection

_MAX_NAME_CHARACTERS = 64

_TAKEN = "SELECT FROM cameras WHERE camera_id = %(id)s OR name = %(id)s AND name <> %(name)s"
_OTHER_ROW = "SELECT enabled FROM cameras WHERE name = %s"


def named(column: str) -> str:
    """Return the SQL of the name of a camera whose id is in a column, qualified by its table."""
    return (
        "coalesce((SELECT named_camera.name FROM public.cameras named_camera"  # noqa: S608 - ours
        f" WHERE named_camera.camera_id = {column}), {column})"
    )


CAMERA_PARAMETER = "(SELECT public.camera_key(%s))"
"""SQL of the id of a camera whose name is a parameter: looked up once for a query."""


def name_of(connection: Connection, camera_id: str) -> str:
    """Return the name of a camera; of an id that is not there, itself."""
    return name_by_id(connection, [camera_id])[camera_id]


def name_by_id(connection: Connection, camera_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of cameras by id."""
    rows = connection.execute(
        "SELECT id, public.camera_name(id) FROM unnest(%s::text[]) AS id", (list(camera_ids),)
    )
    return dict(rows.fetchall())


def id_of(connection: Connection, name: str) -> str | None:
    """Return the id of a camera; of a name that is not there, itself.

    None for the former name of a camera.
    """
    row = connection.execute("SELECT public.camera_key(%s)", (name,)).fetchone()
    return row[0] if row else None


def client_camera_id(connection: Connection, name_or_key: str) -> str:
    """Return the id of the camera that a client sends frames of, by name, else by its first name.

    So a client goes on that has not heard of a new name. Of no camera, the name itself.
    """
    row = connection.execute(
        "SELECT camera_id FROM cameras WHERE name = %(name)s OR camera_id = %(name)s"
        " ORDER BY name <> %(name)s LIMIT 1",
        {"name": name_or_key},
    ).fetchone()
    return row[0] if row else name_or_key


def ids_of(connection: Connection, names: Iterable[str]) -> list[str]:
    """Return the ids of cameras. Raises NotFoundError for the former name of a camera."""
    return [_existing(id_of(connection, name), name) for name in names]


def _existing(camera_id: str | None, name: str) -> str:
    if camera_id is None:
        raise unknown_camera(name)
    return camera_id


def free_id(connection: Connection, name: str) -> str:
    """Return an id for a new camera: its name, or the name and a number where that is taken.

    It is taken where the camera that had it first has another name now.
    """
    candidate, number = name, 1
    while connection.execute(_TAKEN, {"id": candidate, "name": name}).rowcount:
        number += 1
        suffix = f"-{number}"
        candidate = f"{name[: _MAX_NAME_CHARACTERS - len(suffix)]}{suffix}"
    return candidate


def rename(connection: Connection, name: str, new_name: str) -> None:
    """Give a camera another name; its id, its rows and its reading stay as they are.

    Cameras that are removed can be renamed too, which frees their name. Raises NotFoundError, and
    ConflictError if another camera has the name.
    """
    with connection.transaction():
        # Neither another renaming nor an addition takes the name meanwhile.
        connection.execute("LOCK TABLE cameras IN SHARE ROW EXCLUSIVE MODE")
        if connection.execute(_OTHER_ROW, (name,)).fetchone() is None:
            raise unknown_camera(name)
        other = connection.execute(_OTHER_ROW, (new_name,)).fetchone()
        if other is not None and name != new_name:
            removed = "" if other[0] else ", which is removed and has its logs"
            raise ConflictError(f"there is a camera {new_name} already{removed}: rename it first")
        connection.execute("UPDATE cameras SET name = %s WHERE name = %s", (new_name, name))


def unknown_camera(name: str) -> NotFoundError:
    """Return the error of a camera that does not exist."""
    return NotFoundError(f"no camera {name[:64]!r}; see `sightline camera list`")
