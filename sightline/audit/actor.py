"""Actors: an API key, a signed-in user, or a command."""

from dataclasses import dataclass
from getpass import getuser
from typing import Literal

from sightline.audit.roles import PERMISSIONS, Permission, Role


@dataclass(frozen=True, slots=True)
class Actor:
    """The originator of an access. `id` is a key's or a user's, of a command a login name."""

    kind: Literal["key", "user", "command"]
    id: str
    name: str
    role: Role
    address: str | None = None
    cameras: frozenset[str] | None = None
    """Cameras that a key is limited to; None is all."""

    def has_permission(self, permission: Permission) -> bool:
        """Tell whether the role has a permission."""
        return permission in PERMISSIONS[self.role]

    def can_see(self, camera_id: str) -> bool:
        """Tell whether the actor may see a camera."""
        return self.cameras is None or camera_id in self.cameras

    def visible_cameras(self) -> list[str] | None:
        """Return the visible cameras in order, for SQL; None is all."""
        return None if self.cameras is None else sorted(self.cameras)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def command_actor() -> Actor:
    """Return the actor of the command line, an administrator: it has the database's password."""
    user = user_name() or "unknown"
    return Actor("command", user, user, Role.ADMIN)


def user_name() -> str | None:
    """Return the login name of the process's user; a container's user may have none."""
    try:
        return getuser()
    except (KeyError, OSError):
        return None
