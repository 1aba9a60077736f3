"""What workers call themselves in Kafka: the same after a restart, and never two alike."""

from pathlib import Path

from ops.cli.services import _children
from ops.local_stack.service_registry import services
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import consumer_config, member_config, worker_id


def settings(home: Path, instance: str | None = None) -> Settings:
    return Settings(home=home, kafka_bootstrap_servers="127.0.0.1:1", instance=instance)


def names(home: Path, instance: str | None = None) -> list[tuple[str, str]]:
    children = _children(settings(home, instance), vision_workers=3)
    return [(child.name, child.environment["SIGHTLINE_INSTANCE"]) for child in children]


def test_the_supervisor_gives_every_worker_a_name_that_stays(tmp_path: Path) -> None:
    given = names(tmp_path)
    assert len(set(given)) == len(given) == len(services()) + 2
    assert given == names(tmp_path)
    assert [name.rpartition("-")[2] for kind, name in given if kind == "vision"] == ["1", "2", "3"]


def test_a_supervisor_with_a_name_hands_it_down_however_long(tmp_path: Path) -> None:
    assert ("vision", "east-2") in names(tmp_path, "east")
    for _, name in names(tmp_path, "x" * 64):
        assert settings(tmp_path, name).instance == name


def test_who_has_a_name_is_a_static_member_and_nobody_else(tmp_path: Path) -> None:
    named, nameless = settings(tmp_path, "east-1"), settings(tmp_path)
    assert worker_id(named, "group") == "group-east-1" == worker_id(named, "group")
    assert worker_id(nameless, "group") != worker_id(nameless, "group")
    assert member_config(named, "client", "group")["group.instance.id"] == "group-east-1"
    assert "group.instance.id" not in member_config(nameless, "client", "group")
    assert "group.instance.id" not in consumer_config(named, "client", "group")
