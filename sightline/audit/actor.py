"""Who acts: a key, a person who has signed in, or a command."""

from dataclasses import dataclass
from getpass import getuser
from typing import Literal

from sightline.audit.roles import PERMISSIONS, Permission, Role


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. `id` is a key's or a user's, at the command line a user's name."""

    kind: Literal["key", "user", "command"]
    id: str
    name: str
    role: Role
    address: str | None = None
    cameras: frozenset[str] | None = None
    """Which ones a key is for; None is all."""

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return permission in PERMISSIONS[self.role]

    def sees(self, camera_id: str) -> bool:
        """Whether a camera is one of those."""
        return self.cameras is None or camera_id in self.cameras

    def only(self) -> list[str] | None:
        """Those cameras, as a condition of SQL has them."""
        return None if self.cameras is None else sorted(self.cameras)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def command_actor() -> Actor:
    """Whoever works at the command line: with the database's password nothing is closed."""
    user = user_name() or "unknown"
    return Actor("command", user, user, Role.ADMIN)


def user_name() -> str | None:
    """What the operating system calls whoever works here; a container's user may have no name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return None
