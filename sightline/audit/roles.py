"""What each role may do. The only place that says so."""

from enum import StrEnum


class Permission(StrEnum):
    """One thing that can be allowed."""

    DESCRIPTION_READ = "description:read"  # the API's own description
    LOGS_READ = "logs:read"  # who was where and when
    CAMERAS_READ = "cameras:read"  # and the calibrations
    PERSONS_READ = "persons:read"  # whom the cameras have met
    PICTURES_READ = "pictures:read"  # snapshots
    FACES_SEARCH = "faces:search"
    FACES_DECIDE = "faces:decide"  # process-frame
    PEOPLE_READ = "people:read"  # who is enrolled
    PEOPLE_WRITE = "people:write"
    PEOPLE_REMOVE = "people:remove"
    PERSONS_WRITE = "persons:write"  # names, merges, splits, "not this person"
    AUDIT_READ = "audit:read"


class Role(StrEnum):
    """What a key or a person is."""

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
_GUARD = _VIEWER | {Permission.PICTURES_READ, Permission.FACES_SEARCH, Permission.FACES_DECIDE}
_ENROLLER = _GUARD | {Permission.PEOPLE_READ, Permission.PEOPLE_WRITE}
_OPERATOR = _ENROLLER | {Permission.PERSONS_WRITE, Permission.PEOPLE_REMOVE}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.GUARD: _GUARD,
    Role.ENROLLER: _ENROLLER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Permission),
    # Who watches over the others sees no faces.
    Role.AUDITOR: frozenset(
        {Permission.DESCRIPTION_READ, Permission.LOGS_READ, Permission.AUDIT_READ}
    ),
}
