"""All brokers of a home: one, or three of which any one may die."""

from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil

from ops.local_stack.broker import Broker
from ops.local_stack.ports import free_port, is_free
from sightline.runtime.connection_urls import KafkaNode, StackPorts
from sightline.runtime.errors import SightlineError

SIZES = (1, 3)
"""How many nodes there may be. Two would be worse than one: both are needed for a majority."""


class Cluster:
    """The brokers of one home."""

    def __init__(self, home: Path) -> None:
        self._brokers = [Broker(home, node) for node in range(1, max(SIZES) + 1)]

    def running(self) -> list[psutil.Process]:
        """The processes of all nodes."""
        return [process for broker in self._brokers for process in broker.running()]

    def settle(self, ports: StackPorts) -> StackPorts:
        """Ports for the next start: one that somebody else has taken is given up for another.

        Raises SightlineError where the nodes that run would not learn of it.
        """
        down = [broker.node for broker in self._brokers if not broker.running()]
        some_run = len(down) < len(self._brokers)
        for rank, node in enumerate(ports.kafka):
            if rank + 1 in down:
                settled = _settled(node, ports, some_run=some_run)
                nodes = (*ports.kafka[:rank], settled, *ports.kafka[rank + 1 :])
                ports = replace(ports, kafka=nodes)
        return ports

    def start(self, ports: StackPorts) -> None:
        """Start the nodes that do not run. Raises SightlineError when one does not start."""
        wanted = self._brokers[: len(ports.kafka)]
        ids = [broker.cluster_id for broker in wanted]
        cluster_id = next((known for known in ids if known), None) or _new_id()
        with ThreadPoolExecutor() as all_at_once:
            list(all_at_once.map(lambda broker: broker.start(ports, cluster_id), wanted))

    def stop(self) -> bool:
        """Stop all nodes; False when none ran."""
        with ThreadPoolExecutor() as all_at_once:
            return any(list(all_at_once.map(Broker.stop, self._brokers)))


def _settled(node: KafkaNode, ports: StackPorts, *, some_run: bool) -> KafkaNode:
    if some_run and not is_free(node.controller):
        raise SightlineError(
            f"port {node.controller} of a Kafka node is taken: `sightline down`, then `up`"
        )
    wanted = {"clients": node.clients, "nodes": node.nodes, "controller": node.controller}
    for name, port in wanted.items():
        if not port or not is_free(port):
            taken = ports.taken | set(wanted.values())
            wanted[name] = free_port(taken)
    return KafkaNode(**wanted, advertised=node.advertised)


def _new_id() -> str:
    """22 characters of base64, as Kafka's own tool makes them; a first "-" would be an option."""
    return "S" + urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")[1:]
