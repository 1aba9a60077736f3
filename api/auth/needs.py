"""What a route needs: each one says so."""

from typing import Annotated, Any, cast

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from sightline.audit.actor import Actor
from sightline.audit.roles import Permission


def actor_of(connection: HTTPConnection) -> Actor:
    """Whom the gate has let in."""
    return cast(Actor, connection.state.actor)


Acting = Annotated[Actor, Depends(actor_of)]
"""A route's parameter: who asks."""


class Needs:
    """A dependency that lets nobody through who lacks a permission.

    A key for some cameras gets through only where the route keeps to them (`scoped`).
    """

    def __init__(self, permission: Permission, *, scoped: bool) -> None:
        self.permission = permission
        self._scoped = scoped

    def __call__(self, connection: HTTPConnection) -> None:
        """403 for whoever may not."""
        actor = actor_of(connection)
        if not actor.may(self.permission):
            raise HTTPException(403, f"{actor.role} is not allowed {self.permission}")
        if actor.cameras is not None and not self._scoped:
            raise HTTPException(403, "this is about all cameras, and your key is for some")


def needs(permission: Permission, *, scoped: bool = False) -> Any:
    """For a route's `dependencies`."""
    return Depends(Needs(permission, scoped=scoped))
