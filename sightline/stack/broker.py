"""Apache Kafka in KRaft mode: one node, broker and controller, from its jars."""

import signal
import subprocess
from base64 import urlsafe_b64encode
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import psutil

from schemas.topics import MAX_RECORD_BYTES, MIB
from sightline.endpoints import StackPorts
from sightline.errors import SightlineError
from sightline.stack import processes
from sightline.stack.jars import kafka_jars
from sightline.stack.ports import LOOPBACK, answers, free_port, is_free
from sightline.stack.tools import ensure_program

_START_SECONDS = 60.0  # after a power cut the logs are read again first
_STOP_SECONDS = 15.0

_LOGGING = files("sightline.stack") / "log4j2.properties"

_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "message.max.bytes": str(MAX_RECORD_BYTES),
    "replica.fetch.max.bytes": str(MAX_RECORD_BYTES),
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A dead worker's transaction holds up its readers: look for such ones every second.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # After a power cut the controller waits for the dead broker's session to run out.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": str(16 * MIB),
}

_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


class Broker:
    """The broker of one home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "kafka"
        self._properties = self._folder / "server.properties"
        self._data = self._folder / "data"
        self.log = self._folder / "kafka.log"

    def running(self) -> list[psutil.Process]:
        """Its processes: one, or none."""
        properties = str(self._properties)
        return processes.find(lambda command: command[-2:] == ["kafka.Kafka", properties])

    def start(self, ports: StackPorts) -> StackPorts:
        """Start it where it does not run; the ports that it has now.

        A port that somebody else has taken meanwhile is given up for another.
        Raises SightlineError when it does not start.
        """
        if running := self.running():
            self._wait(running[0], ports)
            return ports
        java = _java()
        jars = kafka_jars()
        ports = _with_free_ports(ports)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_properties(self._properties, self._data, ports)
        if not self._data.exists():
            self._format(java, jars, ports)
        process = processes.spawn(
            [
                java,
                *_JVM,
                f"-Dlog4j2.configurationFile={_LOGGING}",
                "-cp",
                f"{jars}/*",
                "kafka.Kafka",
                str(self._properties),
            ],
            self.log,
        )
        self._wait(process, ports)
        return ports

    def stop(self) -> bool:
        """Stop it; False when it did not run."""
        running = self.running()
        processes.stop(running, signal.SIGTERM, _STOP_SECONDS)
        return bool(running)

    def _wait(self, process: psutil.Process, ports: StackPorts) -> None:
        processes.wait_until(
            lambda: answers(ports.kafka), process, _START_SECONDS, self.log, "Kafka"
        )

    def _write_properties(self, path: Path, data: Path, ports: StackPorts) -> None:
        client = f"PLAINTEXT://{LOOPBACK}:{ports.kafka}"
        controller = f"{LOOPBACK}:{ports.kafka_controller}"
        properties = _PROPERTIES | {
            "listeners": f"{client},CONTROLLER://{controller}",
            "advertised.listeners": client,
            # Static voters, so that the controller's port can change.
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(data),
        }
        path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

    def _format(self, java: str, jars: Path, ports: StackPorts) -> None:
        """Make the data folder, whole or not at all."""
        processes.remove_drafts(self._folder)
        draft = self._folder / f"data-{uuid4().hex}"
        properties = draft.with_suffix(".properties")
        self._write_properties(properties, draft, ports)
        tool = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties)]
        result = subprocess.run(
            [java, *_JVM, "-cp", f"{jars}/*", *tool], capture_output=True, text=True, check=False
        )
        properties.unlink()
        if result.returncode:
            said = processes.telling(result.stdout + result.stderr)
            raise SightlineError(f"Kafka's storage was not formatted: {said}")
        draft.rename(self._data)


def _with_free_ports(ports: StackPorts) -> StackPorts:
    taken = {ports.kafka, ports.kafka_controller, ports.postgres}
    if not is_free(ports.kafka):
        ports = replace(ports, kafka=free_port(taken))
    if not is_free(ports.kafka_controller):
        ports = replace(ports, kafka_controller=free_port(taken | {ports.kafka}))
    return ports


def _cluster_id() -> str:
    """22 characters of base64, as Kafka's own tool makes them; a first "-" would be an option."""
    return "S" + urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")[1:]


def _java() -> str:
    return ensure_program("java", "default-jre-headless")
