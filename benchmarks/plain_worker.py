"""A vision worker without guarantees: no transactions, no state, offsets committed by the clock.

Usage: python -m benchmarks.plain_worker

The same processor as the service's, and the loop that one would write without thinking of
crashes. `make bench-guarantees` measures against it.
"""

import cv2
from confluent_kafka import Consumer

from processors.vision.processor import VisionProcessor
from schemas import topics
from schemas.naming import vision_group
from schemas.topics import LIVE
from sightline.models.packs import load_pack
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import load_settings
from sightline.streaming.client_config import consumer_config, producer_config
from sightline.streaming.messages import to_records
from sightline.streaming.producer import CheckedProducer


def main() -> None:
    """Process frames until stopped."""
    settings = load_settings()
    stop = start_service("plain", settings)
    cv2.setNumThreads(1)
    group = vision_group(settings.fleet, LIVE)
    processor = VisionProcessor(load_pack(settings), settings)
    producer = CheckedProducer(producer_config(settings, group) | {"enable.idempotence": False})
    config = consumer_config(settings, group, group)
    consumer = Consumer(config | {"enable.auto.commit": True, "enable.auto.offset.store": True})
    consumer.subscribe([topics.frames(settings.fleet).name])
    while not stop.is_set():
        message = consumer.poll(0.2)
        for record in to_records([message] if message else []):
            try:
                producer.send_all(processor.process(record))
            except PoisonRecord:
                continue
    producer.flush(10)
    consumer.close()


if __name__ == "__main__":
    main()
