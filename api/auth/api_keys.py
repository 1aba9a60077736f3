"""API keys: `sl_<id>_<secret>`. The hash of the secret is stored.

A secret has 256 random bits, so that one SHA-256 is enough: it cannot be guessed.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sightline.audit.actor import Actor
from sightline.audit.roles import Role
from sightline.runtime.errors import NotFoundError, SightlineError
from sightline.storage.camera_names import ids_of
from sightline.storage.db import Connection, dict_rows

_KEY = re.compile(r"sl_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)

_NO_HASH = bytes(32)
"""Compared with for an unknown id, so that it takes as long as for an existing one."""

_FIND = """
SELECT key_id, name, role, secret_hash, cameras, sites,
    last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS rests,
    (SELECT coalesce(array_agg(camera_id), '{}') FROM cameras WHERE site_id = ANY(key.sites))
    AS site_cameras
FROM api_keys key
WHERE key_id = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""

_USED = "UPDATE api_keys SET last_used_at = now() WHERE key_id = %s"
"""Executed once a minute at most, which suffices to see the keys in use."""

_LISTED = """
SELECT key_id, name, role, ARRAY(SELECT camera_name(id) FROM unnest(cameras) AS id) AS cameras,
    sites, created_at, created_by, expires_at, last_used_at,
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired'
         ELSE 'valid' END AS state
FROM api_keys ORDER BY created_at
"""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key: the only time that its secret is visible."""

    key_id: str
    key: str


def create(
    db: Connection,
    name: str,
    role: Role,
    *,
    cameras: Sequence[str] = (),
    sites: Sequence[str] = (),
    expires_at: datetime | None = None,
    made_by: Actor,
) -> NewKey:
    """Create a key; without cameras and sites it sees all cameras. Raises SightlineError.

    Cameras are given by name; the key is for them whatever they are called later.
    """
    if not name.strip():
        raise SightlineError("give the key a name: whose it is, or what for")
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    db.execute(
        "INSERT INTO api_keys (key_id, name, role, secret_hash, cameras, sites, expires_at,"
        " created_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (key_id, name.strip(), role, _hash(secret), ids_of(db, cameras), list(sites), expires_at,
         str(made_by)),
    )  # fmt: skip
    return NewKey(key_id, f"sl_{key_id}_{secret}")


def find_actor(db: Connection, key: str, address: str | None) -> Actor | None:
    """Return the actor of a key; None for an invalid, revoked or expired one."""
    parts = _KEY.fullmatch(key)
    if parts is None:
        return None
    key_id, secret = parts.groups()
    row = next(iter(dict_rows(db, _FIND, (key_id,))), None)
    stored_hash = bytes(row["secret_hash"]) if row else _NO_HASH
    if not hmac.compare_digest(_hash(secret), stored_hash) or row is None:
        return None
    if row["rests"]:
        db.execute(_USED, (key_id,))
    return Actor("key", key_id, row["name"], Role(row["role"]), address, _cameras(row))


def list_keys(db: Connection) -> list[dict[str, Any]]:
    """Return all keys, revoked and expired ones included, without their secrets."""
    return dict_rows(db, _LISTED)


def revoke(db: Connection, key_id: str, by: Actor) -> None:
    """Revoke a key from the next request on. Raises NotFoundError."""
    cursor = db.execute(
        "UPDATE api_keys SET revoked_at = now(), revoked_by = %s"
        " WHERE key_id = %s AND revoked_at IS NULL",
        (str(by), key_id),
    )
    if not cursor.rowcount:
        raise NotFoundError(f"there is no key {key_id} in force; see `sightline keys list`")


def _cameras(row: dict[str, Any]) -> frozenset[str] | None:
    if not row["cameras"] and not row["sites"]:
        return None
    return frozenset(row["cameras"] + row["site_cameras"])


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
