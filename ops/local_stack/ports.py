"""Loopback ports of a home."""

import secrets
import socket

from sightline.runtime.connection_urls import LOOPBACK, BrokerPorts, StackState
from sightline.runtime.errors import SightlineError

_FIRST, _LAST = 20_000, 32_000
"""Range below the ephemeral ports of outgoing connections: a home's ports stay free while down."""


def is_free(port: int) -> bool:
    """Return True if no process listens on a loopback port."""
    with socket.socket() as listener:
        # Servers set this option: an old connection in TIME_WAIT is no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """Return True if a process listens on a loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def free_port(taken: set[int]) -> int:
    """Return a free port that is not in `taken`. Raises SightlineError if there is none."""
    for _ in range(1000):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in taken and is_free(port):
            return port
    raise SightlineError(f"no free port between {_FIRST} and {_LAST} on {LOOPBACK}")


def first_ports(brokers: int) -> StackState:
    """Return ports and a password for a new home with this number of brokers."""
    ports: list[int] = []
    for _ in range(3 * brokers + 1):
        ports.append(free_port(set(ports)))
    nodes = tuple(BrokerPorts(*ports[index : index + 3]) for index in range(0, 3 * brokers, 3))
    return StackState(nodes, ports[-1], secrets.token_urlsafe(24))
