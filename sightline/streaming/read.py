"""Reading a topic from its beginning to its present end."""

from collections.abc import Iterator

from schemas.topics import Topic
from sightline.runtime.settings import Settings
from sightline.streaming.records import Record
from sightline.streaming.topic_reader import records_from


def read_all(settings: Settings, topic: Topic) -> Iterator[Record]:
    """Every committed record that a topic holds now. Raises InfrastructureError."""
    return records_from(settings, topic.name, dict.fromkeys(range(topic.partitions), 0))
