"""Loopback ports that a home keeps."""

import secrets
import socket

from sightline.endpoints import StackPorts
from sightline.errors import SightlineError

LOOPBACK = "127.0.0.1"

_FIRST, _LAST = 20_000, 32_000
"""Below the ports that systems give to outgoing connections, so that ours stay free while down."""


def is_free(port: int) -> bool:
    """Whether nobody listens on a loopback port."""
    with socket.socket() as probe:
        # As servers do it: a connection of yesterday's in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def free_port(taken: set[int]) -> int:
    """A free port that is not among `taken`. Raises SightlineError when there is none."""
    for _ in range(1000):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in taken and is_free(port):
            return port
    raise SightlineError(f"no free port between {_FIRST} and {_LAST} on {LOOPBACK}")


def first_ports() -> StackPorts:
    """Ports and a password for a new home."""
    kafka = free_port(set())
    controller = free_port({kafka})
    postgres = free_port({kafka, controller})
    return StackPorts(kafka, controller, postgres, secrets.token_urlsafe(24))
