"""What a home remembers of its stack, of this version's and of the one before."""

import json
from pathlib import Path

import pytest

from ops.local_stack.cluster import Cluster
from sightline.runtime.connection_urls import BrokerPorts, StackState, database_url, kafka_servers
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings


def test_a_home_of_before_there_were_several_nodes_is_known(tmp_path: Path) -> None:
    old = {"kafka": 1001, "kafka_controller": 1002, "postgres": 1003, "postgres_password": "p"}
    (tmp_path / "stack.json").write_text(json.dumps(old))
    ports = StackState.load(tmp_path)
    assert ports == StackState((BrokerPorts(1001, 0, 1002),), 1003, "p")
    assert kafka_servers(Settings(home=tmp_path)) == "127.0.0.1:1001"
    assert database_url(Settings(home=tmp_path)).endswith(":1003/sightline")

    (node,) = Cluster(tmp_path).choose_ports(ports).kafka
    assert node.nodes not in {0, 1001, 1002, 1003}
    assert (node.clients, node.controller) == (1001, 1002)


def test_what_is_remembered_is_read_again_and_clients_hear_what_is_advertised(
    tmp_path: Path,
) -> None:
    nodes = (BrokerPorts(1, 2, 3), BrokerPorts(4, 5, 6, advertised=7), BrokerPorts(8, 9, 10))
    ports = StackState(nodes, 11, "p")
    ports.save(tmp_path)
    assert StackState.load(tmp_path) == ports
    assert ports.used_ports == set(range(1, 12))
    servers = kafka_servers(Settings(home=tmp_path))
    assert servers == "127.0.0.1:1,127.0.0.1:7,127.0.0.1:8"


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", '{"kafka": 1}', '{"kafka": [{}], "postgres": 1}']
)
def test_a_damaged_memory_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(SightlineError, match=r"stack\.json is damaged"):
        StackState.load(tmp_path)
