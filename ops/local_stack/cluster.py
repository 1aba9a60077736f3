"""Kafka cluster of a home: one broker, or three of which any one may die."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil

from ops.local_stack.broker import Broker, random_id
from ops.local_stack.ports import free_port, is_free
from sightline.runtime.connection_urls import BrokerPorts, StackState
from sightline.runtime.errors import SightlineError

SIZES = (1, 3)
"""Numbers of nodes that a cluster may have.

Two would be worse than one: a majority would need both.
"""


class Cluster:
    """Brokers of one home."""

    def __init__(self, home: Path) -> None:
        self._brokers = [Broker(home, node) for node in range(1, max(SIZES) + 1)]

    def running(self) -> list[psutil.Process]:
        """Return the processes of all nodes."""
        return [process for broker in self._brokers for process in broker.running()]

    def choose_ports(self, ports: StackState) -> StackState:
        """Return ports for the next start; a port that is taken is replaced by a free one.

        Raises SightlineError if running nodes would not learn of the new port.
        """
        down = [broker.node for broker in self._brokers if not broker.running()]
        some_run = len(down) < len(self._brokers)
        for rank, node in enumerate(ports.kafka):
            if rank + 1 in down:
                settled = _settled(node, ports, some_run=some_run)
                nodes = (*ports.kafka[:rank], settled, *ports.kafka[rank + 1 :])
                ports = replace(ports, kafka=nodes)
        return ports

    def start(self, ports: StackState) -> None:
        """Start the nodes that do not run. Raises SightlineError if one does not start."""
        brokers = self._brokers[: len(ports.kafka)]
        ids = [broker.cluster_id for broker in brokers]
        cluster_id = next((existing for existing in ids if existing), None) or random_id()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda broker: broker.start(ports, cluster_id), brokers))

    def stop(self) -> bool:
        """Stop all nodes; return False if none ran."""
        with ThreadPoolExecutor() as pool:
            return any(list(pool.map(Broker.stop, self._brokers)))


def _settled(node: BrokerPorts, ports: StackState, *, some_run: bool) -> BrokerPorts:
    if some_run and not is_free(node.controller):
        raise SightlineError(
            f"port {node.controller} of a Kafka node is taken: `sightline down`, then `up`"
        )
    chosen = {"clients": node.clients, "nodes": node.nodes, "controller": node.controller}
    for name, port in chosen.items():
        if not port or not is_free(port):
            taken = ports.used_ports | set(chosen.values())
            chosen[name] = free_port(taken)
    return BrokerPorts(**chosen, advertised=node.advertised)
