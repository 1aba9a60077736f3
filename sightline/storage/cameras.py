"""Cameras: their settings and their status, as rows of the table `cameras`.

A removed camera keeps its row (`enabled` false, no slot), because logs refer to it.
"""

import logging
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self, TypeVar

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from schemas.decode import SLUG
from schemas.naming import checked_fleet
from schemas.topics import DEFAULT_FLEET
from sightline.runtime.errors import NotFoundError, SightlineError
from sightline.storage.camera_masks import MAX_MASKS, CameraMask, polygons_of
from sightline.storage.db import Connection, dict_rows

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

CameraStatus = Literal["new", "up", "down", "ended"]
Pace = Literal["real", "fast"]

DEFAULT_SITE = "default"

DEFAULT_TIMEOUT_SECONDS = 5.0
"""A camera that has sent no picture for this time counts as lost."""

_USER_INFO = re.compile(r"(?<=://).*@")  # a password may hold spaces

# Cameras take credentials in queries and in paths: `?u=me&p=secret`, `/user=me_password=secret`.
_CREDENTIAL_FIELD = (
    r"u|p|[^=&?;/_\s]{0,40}(?:pas|pwd|psw|pw|token|secret|auth|key|user|usr|login|cred)"
    r"[^=&?;/_\s]{0,40}"
)
_CREDENTIAL_VALUE = re.compile(
    rf"(?i)([?&;/_](?:{_CREDENTIAL_FIELD})=)[^&\s]*?(?=[&?;/_][a-z]{{1,20}}=|[&\s]|$)"
)

_COLUMNS = (
    "camera_id, uri, site_id, fleet, entry_point, room_id, slot, settings,"
    " status, status_detail, status_at"
)


def mask_uri(uri: str) -> str:
    """Return a URI without its user, password and the secret values of its query."""
    # Up to the last "@": a password may hold an unescaped "@" or "/".
    return _CREDENTIAL_VALUE.sub(r"\1***", _USER_INFO.sub("***@", uri))


class CameraSettings(BaseModel):
    """Settings of the reading of a camera; JSON in its row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fps: float | None = Field(None, gt=0, le=240)  # upper limit; the rate of a folder of images
    width: int | None = Field(None, ge=64, le=7680)  # pixels; wider frames are scaled down
    quality: int = Field(85, ge=1, le=100)  # of the JPEG
    rotate: Literal[0, 90, 180, 270] = 0  # degrees clockwise, of a camera mounted sideways
    resolution: tuple[int, int] | None = None  # width and height that a device is asked for
    timeout: float = Field(DEFAULT_TIMEOUT_SECONDS, ge=1, le=600)  # seconds without a picture
    motion: bool = True  # False: every frame is published
    masks: tuple[CameraMask, ...] = Field((), max_length=MAX_MASKS)
    pace: Pace = "real"  # of a file or folder
    start_time: AwareDatetime | None = None  # capture time of a file's first frame
    loop: bool = False  # a file is repeated from its end on
    generation: int = 0  # increased to start the camera anew

    @field_validator("start_time")
    @classmethod
    def _sensible(cls, value: datetime | None) -> datetime | None:
        if value and not 1970 < value.year < 3000:
            raise ValueError("a year between 1971 and 2999")
        return value


class NewCamera(BaseModel):
    """A camera to be added or changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    camera_id: str
    uri: SecretStr = Field(min_length=1, max_length=4096)
    site_id: str = DEFAULT_SITE
    fleet: str = DEFAULT_FLEET
    entry_point: str | None = Field(None, min_length=1, max_length=200)
    room_id: str | None = Field(None, min_length=1, max_length=200)
    settings: CameraSettings = CameraSettings()

    @field_validator("camera_id", "site_id", "fleet")
    @classmethod
    def _is_slug(cls, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise ValueError(
                f"{value[:40]!r} is no short name: 1 to 64 letters, digits, dots, dashes, "
                "underscores, starting with a letter or digit"
            )
        return value

    @field_validator("fleet")
    @classmethod
    def _is_fleet(cls, value: str) -> str:
        return checked_fleet(value)

    @property
    def masked_uri(self) -> str:
        """The URI without secrets."""
        return mask_uri(self.uri.get_secret_value())


class Camera(NewCamera):
    """A row of the table `cameras`."""

    slot: int
    status: CameraStatus
    status_detail: str | None
    status_at: AwareDatetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Return the camera of a row. Raises SightlineError for invalid settings in the row."""
        return validated(cls, **row)

    @property
    def spec(self) -> NewCamera:
        """The fields that the reading depends on: after a change the camera is read anew."""
        return NewCamera.model_validate(self.model_dump(include=set(NewCamera.model_fields)))


def validated(kind: type[M], /, **values: Any) -> M:
    """Return a model of these values. Raises SightlineError for the first invalid value."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise SightlineError(
            f"camera {path}: {first['msg'].removeprefix('Value error, ')}"
        ) from None


def add(connection: Connection, new: NewCamera) -> Camera:
    """Add a camera, or change the camera of this id; reading starts anew either way.

    Its slot is the lowest free slot of its fleet; a camera that stays in its fleet keeps its slot.
    """
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        # Two cameras that are added at once must not both take the same free slot.
        cursor.execute("LOCK TABLE cameras IN SHARE ROW EXCLUSIVE MODE")
        if new.room_id:
            cursor.execute(
                "INSERT INTO rooms (room_id, site_id, name) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (new.room_id, new.site_id, new.room_id),
            )
        cursor.execute(
            "SELECT fleet, slot, (settings->>'generation')::int AS generation"
            " FROM cameras WHERE camera_id = %s",
            (new.camera_id,),
        )
        previous = cursor.fetchone()
        settings = new.settings.model_dump(mode="json")
        settings["generation"] = (previous["generation"] or 0) + 1 if previous else 0
        slot = previous["slot"] if previous and previous["fleet"] == new.fleet else None
        values = new.model_dump() | {
            "uri": new.uri.get_secret_value(),
            "slot": _free_slot(connection, new.fleet) if slot is None else slot,
            "settings": Jsonb(settings),
        }
        cursor.execute(
            f"""
            INSERT INTO cameras
                (camera_id, uri, site_id, fleet, entry_point, room_id, slot, settings)
            VALUES (%(camera_id)s, %(uri)s, %(site_id)s, %(fleet)s, %(entry_point)s,
                    %(room_id)s, %(slot)s, %(settings)s)
            ON CONFLICT (camera_id) DO UPDATE SET
                uri = EXCLUDED.uri, site_id = EXCLUDED.site_id, fleet = EXCLUDED.fleet,
                entry_point = EXCLUDED.entry_point, room_id = EXCLUDED.room_id,
                slot = EXCLUDED.slot, settings = EXCLUDED.settings, enabled = true,
                status = 'new', status_detail = NULL, status_at = now()
            RETURNING {_COLUMNS}
            """,  # noqa: S608 - the columns are a constant
            values,
        )
        [row] = cursor
    return Camera.of(row)


def _free_slot(connection: Connection, fleet: str) -> int:
    row = connection.execute(
        """
        SELECT min(slot) FROM
            generate_series(0, (SELECT count(*) FROM cameras WHERE fleet = %(fleet)s)) AS slot
        WHERE slot NOT IN
            (SELECT slot FROM cameras WHERE fleet = %(fleet)s AND slot IS NOT NULL)
        """,
        {"fleet": fleet},
    ).fetchone()
    return int(row[0]) if row else 0


def ensure_camera(connection: Connection, camera_id: str) -> str:
    """Return the site of a camera; add the camera, without a source, if it does not exist.

    Frames sent to the API need a camera that logs can refer to.
    """
    query = "SELECT site_id FROM cameras WHERE camera_id = %s"
    row = connection.execute(query, (camera_id,)).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO cameras (camera_id, uri, enabled) VALUES (%s, 'api:', false)"
            " ON CONFLICT DO NOTHING",
            (camera_id,),
        )
        row = connection.execute(query, (camera_id,)).fetchone()
    if row is None:
        raise AssertionError("a camera that is there is not there")
    return str(row[0])


def list_cameras(connection: Connection) -> list[Camera]:
    """Return all enabled cameras, by id; a camera with an invalid row is left out."""
    query = f"SELECT {_COLUMNS} FROM cameras WHERE enabled ORDER BY camera_id"  # noqa: S608
    cameras = []
    for row in dict_rows(connection, query):
        try:
            cameras.append(Camera.of(row))
        except SightlineError as error:
            log.warning("camera %s is left out: %s", row["camera_id"], error)
    return cameras


def get(connection: Connection, camera_id: str) -> Camera:
    """Return an enabled camera. Raises NotFoundError."""
    query = f"SELECT {_COLUMNS} FROM cameras WHERE enabled AND camera_id = %s"  # noqa: S608
    for row in dict_rows(connection, query, (camera_id,)):
        return Camera.of(row)
    raise unknown_camera(camera_id)


def set_masks(connection: Connection, camera_id: str, masks: Sequence[CameraMask]) -> None:
    """Replace the masks of a camera.

    A film is read anew if those of motion change: its events would not go on as they began.

    Raises:
        NotFoundError: The camera does not exist.
        SightlineError: There are too many masks.
    """
    camera = get(connection, camera_id)
    settings = validated(CameraSettings, **dict(camera.settings) | {"masks": tuple(masks)})
    before, after = (polygons_of(some.masks, "motion") for some in (camera.settings, settings))
    changes: dict[str, Any] = {"masks": settings.model_dump(mode="json")["masks"]}
    if before != after:
        changes["generation"] = camera.settings.generation + 1
    with connection.transaction():
        connection.execute(
            "UPDATE cameras SET settings = settings || %s WHERE enabled AND camera_id = %s",
            (Jsonb(changes), camera_id),
        )


def remove(connection: Connection, camera_id: str) -> None:
    """Disable a camera and free its slot; its logs stay. Raises NotFoundError."""
    _update(connection, "enabled = false, slot = NULL", camera_id)


def restart(connection: Connection, camera_id: str) -> None:
    """Have a camera read anew, also a film that has ended. Raises NotFoundError."""
    values = """status = 'new', status_detail = NULL, status_at = now(),
        settings = settings || jsonb_build_object(
            'generation', coalesce((settings->>'generation')::int, 0) + 1)"""
    _update(connection, values, camera_id)


def _update(connection: Connection, values: str, camera_id: str) -> None:
    with connection.transaction():
        query = f"UPDATE cameras SET {values} WHERE enabled AND camera_id = %s"  # noqa: S608 - ours
        if not connection.execute(query, (camera_id,)).rowcount:
            raise unknown_camera(camera_id)


def set_status(
    connection: Connection, camera: NewCamera, status: CameraStatus, detail: str | None
) -> None:
    """Write the status of a camera, unless it has been started anew meanwhile."""
    with connection.transaction():
        connection.execute(
            """
            UPDATE cameras SET status = %s, status_detail = %s, status_at = now()
            WHERE camera_id = %s AND coalesce((settings->>'generation')::int, 0) = %s
                AND (status, status_detail) IS DISTINCT FROM (%s, %s)
            """,
            (
                status, detail, camera.camera_id, camera.settings.generation, status, detail,
            ),
        )  # fmt: skip


def unknown_camera(camera_id: str) -> NotFoundError:
    """Return the error of a camera that does not exist."""
    return NotFoundError(f"no camera {camera_id[:64]!r}; see `sightline camera list`")
