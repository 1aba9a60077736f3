"""The topics of the registry as Strimzi's resources, for Kafka in Kubernetes."""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from schemas.topics import Topic
from sightline.streaming.admin import config_of


def manifests(topics: Iterable[Topic], cluster: str, replicas: int) -> str:
    """Return a `KafkaTopic` for each topic, as YAML documents for `kubectl apply`."""
    return yaml.safe_dump_all(
        (_manifest(topic, cluster, replicas) for topic in topics), sort_keys=False
    )


def _manifest(topic: Topic, cluster: str, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {
            "name": re.sub(r"[^a-z0-9.-]", "-", topic.name.lower()),
            "labels": {"strimzi.io/cluster": cluster},
        },
        "spec": {
            "topicName": topic.name,
            "partitions": topic.partitions,
            "replicas": replicas,
            "config": config_of(topic, replicas),
        },
    }
