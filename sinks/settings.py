"""Settings of the sinks."""

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class SinkSettings(ServiceSettings):
    """Batches of sinks, and the rows of persons."""

    batch_records: int = Field(500, ge=1, description="most records in one transaction")
    batch_seconds: float = Field(
        0.2, gt=0, description="seconds that a transaction waits to fill up"
    )
    person_state_seconds: float = Field(
        5.0, gt=0, description="least seconds between two changes of a person's row"
    )
    unknown_snapshot_seconds: float = Field(
        30.0, gt=0, description="least seconds between two snapshots of an unknown person"
    )
