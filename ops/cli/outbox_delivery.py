"""Delivery of the outbox after a command has committed."""

from ops.terminal import progress_console
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.settings import Settings
from sightline.storage.outbox import deliver


def deliver_outbox(settings: Settings) -> None:
    """Deliver the outbox; if Kafka is unreachable, the outbox service does it later."""
    try:
        deliver(settings)
    except InfrastructureError as error:
        progress_console.print(f"kept, to be published by the outbox service: {error}")
