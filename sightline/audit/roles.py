"""Roles of users and API keys, and their permissions."""

from enum import StrEnum


class Permission(StrEnum):
    """A permission of the API."""

    DESCRIPTION_READ = "description:read"  # the API's own description
    LOGS_READ = "logs:read"  # access logs and visitor logs
    CAMERAS_READ = "cameras:read"  # and the calibrations
    PERSONS_READ = "persons:read"  # known and unknown persons
    SNAPSHOTS_READ = "snapshots:read"
    FACES_SEARCH = "faces:search"
    FACES_DECIDE = "faces:decide"  # process-frame
    EMPLOYEES_READ = "employees:read"  # enrolled persons
    EMPLOYEES_WRITE = "employees:write"
    EMPLOYEES_REMOVE = "employees:remove"
    PERSONS_WRITE = "persons:write"  # names, merges, splits, "not this person"
    AUDIT_READ = "audit:read"


class Role(StrEnum):
    """Role of an API key or a user."""

    VIEWER = "viewer"
    GUARD = "guard"
    ENROLLER = "enroller"
    OPERATOR = "operator"
    ADMIN = "admin"
    AUDITOR = "auditor"


_VIEWER = frozenset(
    {
        Permission.DESCRIPTION_READ,
        Permission.LOGS_READ,
        Permission.CAMERAS_READ,
        Permission.PERSONS_READ,
    }
)
_GUARD = _VIEWER | {Permission.SNAPSHOTS_READ, Permission.FACES_SEARCH, Permission.FACES_DECIDE}
_ENROLLER = _GUARD | {Permission.EMPLOYEES_READ, Permission.EMPLOYEES_WRITE}
_OPERATOR = _ENROLLER | {Permission.PERSONS_WRITE, Permission.EMPLOYEES_REMOVE}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.GUARD: _GUARD,
    Role.ENROLLER: _ENROLLER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Permission),
    # An auditor watches over the others and sees no faces.
    Role.AUDITOR: frozenset(
        {Permission.DESCRIPTION_READ, Permission.LOGS_READ, Permission.AUDIT_READ}
    ),
}
