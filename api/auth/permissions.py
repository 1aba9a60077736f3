"""The permission that each route declares."""

from typing import Annotated, Any, cast

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from sightline.audit.actor import Actor
from sightline.audit.roles import Permission


def actor_of(connection: HTTPConnection) -> Actor:
    """Return the authenticated actor of a request."""
    return cast(Actor, connection.state.actor)


CurrentActor = Annotated[Actor, Depends(actor_of)]
"""The type of a route's parameter that takes the actor."""


class RequiredPermission:
    """A dependency that refuses actors without a permission.

    A key for some cameras is refused as well, unless the route keeps to them (`scoped`).
    """

    def __init__(self, permission: Permission, *, scoped: bool) -> None:
        """Make the dependency of a route."""
        self.permission = permission
        self._scoped = scoped

    def __call__(self, connection: HTTPConnection) -> None:
        """Check the actor of a request. Raises a problem 403."""
        actor = actor_of(connection)
        if not actor.has_permission(self.permission):
            raise HTTPException(403, f"{actor.role} is not allowed {self.permission}")
        if actor.cameras is not None and not self._scoped:
            raise HTTPException(403, "this is about all cameras, and your key is for some")


def requires(permission: Permission, *, scoped: bool = False) -> Any:
    """Return an entry for a route's `dependencies`."""
    return Depends(RequiredPermission(permission, scoped=scoped))
