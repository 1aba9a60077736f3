"""Loopback ports that a home keeps."""

import secrets
import socket

from sightline.runtime.connection_urls import LOOPBACK, KafkaNode, StackPorts
from sightline.runtime.errors import SightlineError

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


def first_ports(brokers: int) -> StackPorts:
    """Ports and a password for a new home with so many brokers."""
    found: list[int] = []
    for _ in range(3 * brokers + 1):
        found.append(free_port(set(found)))
    nodes = tuple(KafkaNode(*found[first : first + 3]) for first in range(0, 3 * brokers, 3))
    return StackPorts(nodes, found[-1], secrets.token_urlsafe(24))
