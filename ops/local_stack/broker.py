"""Apache Kafka in KRaft mode: each node is broker and controller, run from Kafka's jars."""

import os
import signal
import subprocess
from base64 import urlsafe_b64encode
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import psutil

from ops.local_stack import class_archive, daemons, storage_template
from ops.local_stack.jars import kafka_jars, kafka_jars_folder
from ops.local_stack.ports import is_listening
from ops.local_stack.system_programs import ensure_program
from schemas.naming import principal
from schemas.topics import MAX_RECORD_BYTES, MIB
from sightline.runtime.connection_urls import LOOPBACK, StackState
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import CredentialFiles, node_name
from sightline.runtime.private_files import PRIVATE_UMASK, restrict_folder, write_private_file
from sightline.runtime.rights import CLI

_START_SECONDS = 60.0  # after a power cut the logs are recovered first
_STOP_SECONDS = 15.0
_ARCHIVE_SECONDS = 60.0  # more for the first stop, which writes the archive of classes

_LOGGING = files("ops.local_stack") / "log4j2.properties"

_PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "NODES",
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(MAX_RECORD_BYTES),
    "replica.fetch.max.bytes": str(MAX_RECORD_BYTES),
    "offsets.topic.num.partitions": "4",
    # Consumer groups keep their committed offsets through a long absence.
    "offsets.retention.minutes": str(365 * 24 * 60),
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A dead worker's transaction blocks readers: the broker looks for timed-out ones each second.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # After a power cut the controller waits for the dead broker's session to expire.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Twice a second, as by default, these records are a third of what an idle broker does.
    "metadata.max.idle.interval.ms": "5000",
    # Retention runs often, so that a full disk frees space within seconds.
    "log.retention.check.interval.ms": "5000",
    "log.initial.task.delay.ms": "5000",
    "log.cleaner.dedupe.buffer.size": str(16 * MIB),
}

_PLAINTEXT = {
    "listener.security.protocol.map": "CLIENTS:PLAINTEXT,NODES:PLAINTEXT,CONTROLLER:PLAINTEXT",
}

_SECURE = {
    # Clients present a certificate and a password, nodes a certificate.
    "listener.security.protocol.map": "CLIENTS:SASL_SSL,NODES:SSL,CONTROLLER:SSL",
    "ssl.client.auth": "required",
    # By default Kafka asks clients with a password for no certificate.
    "listener.name.clients.ssl.client.auth": "required",
    "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "ssl.enabled.protocols": "TLSv1.3",
    # The JVM's first compiler has no machine code for AES: ChaCha20 costs less than half.
    "ssl.cipher.suites": "TLS_CHACHA20_POLY1305_SHA256,TLS_AES_256_GCM_SHA384,"
    "TLS_AES_128_GCM_SHA256",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
}

_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_HEAP = {1: "512m", 3: "256m"}  # heap by the number of nodes
_FORMAT_HEAP = "128m"


class Broker:
    """Kafka node of a home."""

    def __init__(self, home: Path, node: int = 1) -> None:
        self.node = node
        self._folder = home / ("kafka" if node == 1 else f"kafka-{node}")
        self._properties = self._folder / "server.properties"
        self._data = self._folder / "data"
        self._keyring = CredentialFiles(home)
        self._class_archive = self._folder / "classes.jsa"
        self.log = self._folder / "kafka.log"

    @property
    def cluster_id(self) -> str | None:
        """Return the id of the cluster that the node's data belong to; None without data."""
        meta = self._data / "meta.properties"
        return storage_template.properties(meta)["cluster.id"] if meta.exists() else None

    def running(self) -> list[psutil.Process]:
        """Return the node's process, or an empty list."""
        properties = str(self._properties)
        return daemons.find(lambda command: command[-2:] == ["kafka.Kafka", properties])

    def start(self, ports: StackState, cluster_id: str | None = None) -> None:
        """Start the node if it does not run; the id is needed if it has no data yet.

        It answers once most of the home's nodes run. Raises SightlineError if it does not answer in
        time.
        """
        running = self.running()
        process = running[0] if running else self._spawn(ports, cluster_id)
        daemons.wait_until(
            lambda: is_listening(ports.kafka[self.node - 1].clients),
            process, _START_SECONDS, self.log, "Kafka",
        )  # fmt: skip

    def stop(self) -> bool:
        """Stop the node; return False if it did not run."""
        running = self.running()
        commands = [daemons.command_line(process) for process in running]
        writing = next(filter(class_archive.is_writing, commands), None)
        seconds = _STOP_SECONDS + (_ARCHIVE_SECONDS if writing else 0)
        killed = daemons.stop(running, signal.SIGTERM, seconds)
        if writing and not killed and self._class_archive.exists():
            archive = class_archive.archive_path(writing[0], kafka_jars_folder())
            class_archive.publish(self._class_archive, archive)
        return bool(running)

    def _spawn(self, ports: StackState, cluster_id: str | None) -> psutil.Process:
        java, jars = _java(), kafka_jars()
        path = ["-cp", f"{jars}/*"]
        classes = class_archive.archive_path(java, jars)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        restrict_folder(self._folder)  # an earlier version left the folder open
        self._write_properties(self._properties, self._data, ports)
        if not self._data.exists():
            options = [*_JVM, f"-Xmx{_FORMAT_HEAP}", *class_archive.reading_options(classes)]
            template = storage_template.template_path(jars)
            self._make_data([java, *options, *path], ports, cluster_id, template)
        # Kafka advises to allocate the whole heap at once: use of memory is constant.
        size = _HEAP[len(ports.kafka)]
        heap = [f"-Xms{size}", f"-Xmx{size}", "-XX:+AlwaysPreTouch"]
        logging = f"-Dlog4j2.configurationFile={_LOGGING}"
        options = [*_JVM, *heap, *self._archive_options(classes), logging]
        command = [java, *options, *path, "kafka.Kafka", str(self._properties)]
        return daemons.spawn(command, self.log, cwd=self._folder, env=_environment())

    def _archive_options(self, archive: Path) -> list[str]:
        """Use the archive of classes; without one, the first node writes it at its end."""
        self._class_archive.unlink(missing_ok=True)  # of a node that has been killed
        if self.node == 1 and not archive.exists():
            return class_archive.writing_options(self._class_archive)
        return class_archive.reading_options(archive)

    def _write_properties(self, path: Path, data: Path, ports: StackState) -> None:
        node = ports.kafka[self.node - 1]
        nodes = f"NODES://{LOOPBACK}:{node.nodes}"
        properties = _PROPERTIES | _replicas(len(ports.kafka)) | {
            "node.id": str(self.node),
            "listeners": f"CLIENTS://{LOOPBACK}:{node.clients},{nodes},"
            f"CONTROLLER://{LOOPBACK}:{node.controller}",
            "advertised.listeners": f"CLIENTS://{node.address},{nodes}",
            # Voters are static, so that the controllers' ports can change.
            "controller.quorum.voters": ",".join(
                f"{number}@{LOOPBACK}:{voter.controller}"
                for number, voter in enumerate(ports.kafka, start=1)
            ),
            # Relative to the node's folder: a comma in a path would make two folders of it.
            "log.dirs": data.name,
        } | (self._security(len(ports.kafka)) if ports.secure else _PLAINTEXT)  # fmt: skip
        path.write_text(
            "".join(f"{name}={_escaped(value)}\n" for name, value in properties.items()),
            encoding="ascii",
        )

    def _security(self, nodes: int) -> dict[str, str]:
        """Return the properties of a secure node.

        Rights of services are in the cluster's own data; the properties name the super users alone.
        """
        pair = self._keyring.pair(node_name(self.node))
        store = self._folder / "node.pem"
        write_private_file(store, pair.key.read_bytes() + pair.certificate.read_bytes())
        super_users = [f"CN={node_name(number)}" for number in range(1, nodes + 1)]
        super_users += [f"CN={principal(CLI)}", principal(CLI)]  # by certificate, and by password
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return _SECURE | {
            "ssl.keystore.location": str(store),
            "ssl.truststore.location": str(self._keyring.authority),
            "listener.name.clients.scram-sha-512.sasl.jaas.config": login,
            "super.users": ";".join(f"User:{name}" for name in super_users),
        }

    def _make_data(
        self, java: list[str], ports: StackState, cluster_id: str | None, template: Path
    ) -> None:
        """Make the data folder, whole or not at all."""
        if cluster_id is None:
            raise SightlineError(f"Kafka's node {self.node} has no data: run `sightline up`")
        daemons.remove_drafts(self._folder)
        draft = self._folder / f"data-{uuid4().hex}"
        ids = {"cluster.id": cluster_id, "node.id": str(self.node), "directory.id": random_id()}
        if not storage_template.copy(template, draft, ids):
            self._format(java, ports, cluster_id, draft)
            storage_template.keep(draft, template)
        draft.rename(self._data)

    def _format(self, java: list[str], ports: StackState, cluster_id: str, draft: Path) -> None:
        """Format a folder with Kafka's own tool."""
        properties = draft.with_suffix(".properties")
        self._write_properties(properties, draft, ports)
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
        result = subprocess.run(
            [*java, *tool], cwd=self._folder, env=_environment(), capture_output=True, text=True,
            check=False, umask=PRIVATE_UMASK,
        )  # fmt: skip
        properties.unlink()
        if result.returncode:
            reason = daemons.error_line(result.stdout + result.stderr)
            raise SightlineError(f"Kafka's storage was not formatted: {reason}")


def random_id() -> str:
    """Return a random id: 22 characters of base64, like those of Kafka's own tool.

    A leading "-" would be read as an option, so the first character is a letter.
    """
    return "S" + urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")[1:]


def _replicas(nodes: int) -> dict[str, str]:
    """Return the replication properties: of three nodes any one may die."""
    in_sync = str(min(nodes, 2))
    return {
        "default.replication.factor": str(nodes),
        "min.insync.replicas": in_sync,  # of __consumer_offsets too
        "offsets.topic.replication.factor": str(nodes),
        "transaction.state.log.replication.factor": str(nodes),
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": str(nodes),
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _escaped(value: str) -> str:
    """Return a value for a file of properties, which Java reads as ISO 8859-1."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    pairs = (units[index : index + 2] for index in range(0, len(units), 2))
    return "".join(
        chr(unit) if (unit := int.from_bytes(pair)) < 128 else f"\\u{unit:04x}" for pair in pairs
    )


def _environment() -> dict[str, str]:
    """Return the environment of Java, which knows paths in the locale's encoding alone."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _java() -> str:
    return ensure_program("java", "default-jre-headless")
