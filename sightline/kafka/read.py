"""Reading a topic from its beginning to its present end."""

from collections.abc import Iterator

from schemas.topics import Topic
from sightline.kafka.positions import records_from
from sightline.kafka.records import Record
from sightline.settings import Settings


def read_all(settings: Settings, topic: Topic) -> Iterator[Record]:
    """Every committed record that a topic holds now. Raises InfrastructureError."""
    return records_from(settings, topic.name, dict.fromkeys(range(topic.partitions), 0))
