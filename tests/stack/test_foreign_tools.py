"""Topics and tables are read with everybody's tools."""

import json
import shutil
import subprocess

import pytest

from schemas.topics import Topic, all_topics
from sightline.runtime.connection_urls import kafka_servers
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.support import run_sightline

pytestmark = pytest.mark.stack


def run(program: str, *arguments: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} here: see deploy/install-test-tools")
    result = subprocess.run(
        [path, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_kcat_lists_and_reads_topics(stack: Settings) -> None:
    servers = kafka_servers(stack)
    listed = json.loads(run("kcat", "-b", servers, "-L", "-J"))
    found = {topic["topic"]: len(topic["partitions"]) for topic in listed["topics"]}
    for topic in all_topics():
        assert found[topic.name] == topic.partitions

    apply_topics(stack, [Topic("test-kcat", "camera id", 1)])
    producer = CheckedProducer(producer_config(stack, "test"))
    producer.send(OutputRecord("test-kcat", "door", b"a frame", 1234))
    producer.flush(60)
    read = run("kcat", "-b", servers, "-C", "-t", "test-kcat", "-e", "-q", "-f", "%k|%s|%T")
    assert read == "door|a frame|1234"


def test_psql_reads_tables(stack: Settings) -> None:
    url = run_sightline(stack.home, "db", "url").stdout.strip()
    found = run("psql", url, "-At", "-c", "\\dt")
    assert "access_logs" in found
    assert run("psql", url, "-Atc", "SELECT '[1,2]'::vector") == "[1,2]\n"
