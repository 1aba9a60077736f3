"""The zone of times that people read and type: `display.timezone`, else that of the machine.

Times without an offset are in it, at the command line and in requests to the API alike. What is
stored, and what is named by a time, such as the keys of pictures, is UTC always.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from zoneinfo import ZoneInfo

from sightline.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class DisplayZone:
    """A time zone of the IANA database; None is the machine's."""

    zone: ZoneInfo | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the zone that the settings state."""
        name = settings.display.timezone
        return cls(ZoneInfo(name) if name else None)

    def local(self, moment: datetime) -> datetime:
        """Return a moment in this zone."""
        return moment.astimezone(self.zone)

    def aware(self, moment: datetime) -> datetime:
        """Return a moment that somebody typed: in this zone, unless it states an offset."""
        if moment.tzinfo is not None:
            return moment
        return moment.astimezone() if self.zone is None else moment.replace(tzinfo=self.zone)

    def name(self, at: datetime) -> str:
        """Return the zone's name for people; the machine's has its offset of a moment."""
        if self.zone is not None:
            return self.zone.key
        offset = f"{at.astimezone():%z}"
        return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:]}"
