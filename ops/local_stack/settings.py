"""Settings of `sightline up --monitoring`."""

from pathlib import Path

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class MonitoringSettings(ServiceSettings):
    """How `sightline up --monitoring` watches the services."""

    scrape_seconds: float = Field(
        10.0, ge=0.1, description="how often every service's metrics and all alerts are looked at"
    )
    keep_days: int = Field(15, ge=1, description="how long metrics are kept")
    rules: Path | None = Field(
        None, description="a folder of alert rules (*.yml) to use instead of ours"
    )
    alertmanager: str | None = Field(
        None, description="host:port of an Alertmanager that tells people what fires"
    )
    docs: str = Field(
        "docs", description="where alerts say that run-book pages are: a folder or an address"
    )
