"""Settings of `sightline up --monitoring`."""

from pathlib import Path

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class MonitoringSettings(ServiceSettings):
    """Prometheus of `sightline up --monitoring`."""

    scrape_seconds: float = Field(
        10.0, ge=0.1, description="seconds between scrapes of metrics and evaluations of alerts"
    )
    keep_days: int = Field(15, ge=1, description="days that metrics are retained")
    rules: Path | None = Field(
        None, description="folder of alert rules (*.yml) to use instead of the shipped ones"
    )
    alertmanager: str | None = Field(
        None, description="host:port of an Alertmanager that notifies people"
    )
    docs: str = Field(
        "docs", description="folder or address of the run-book pages that alerts link to"
    )
