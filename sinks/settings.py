"""Settings of the sinks."""

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class SinkSettings(ServiceSettings):
    """How rows are written."""

    batch_records: int = Field(500, ge=1, description="records in one transaction at most")
    batch_seconds: float = Field(0.2, gt=0, description="how long a transaction waits to fill up")
    person_state_seconds: float = Field(
        5.0, gt=0, description="how often a person's row changes at most"
    )
    inactive_seconds: float = Field(
        30.0, gt=0, description="a person unseen for this long is inactive"
    )
    unknown_snapshot_seconds: float = Field(
        30.0, gt=0, description="between two snapshots of one unknown person"
    )
