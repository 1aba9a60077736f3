"""Publishing what a command has committed."""

from sightline.cli.output import progress_console
from sightline.errors import InfrastructureError
from sightline.settings import Settings
from sightline.store.outbox import deliver


def publish(settings: Settings) -> None:
    """Deliver the outbox; where Kafka is away the outbox service does it later."""
    try:
        deliver(settings)
    except InfrastructureError as error:
        progress_console.print(f"kept, to be published by the outbox service: {error}")
