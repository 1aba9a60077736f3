"""Settings that a service declares beside itself, and their place in the settings of all."""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from sightline.runtime.settings.groups import Group

if TYPE_CHECKING:
    from sightline.runtime.settings import Settings


class ServiceSettings(Group):
    """A group of settings of one service, named by the entry point `sightline.settings`.

    Every process knows all groups, so that a key which belongs to none is an error, and reads its
    own with `of`.
    """

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """Return this group of the settings of an installation."""
        for name in type(settings).model_fields:
            group = getattr(settings, name)
            if isinstance(group, cls):
                return group
        raise TypeError(f"no entry point declares {cls.__name__}")


def service_fields() -> dict[str, Any]:
    """Return the fields of all groups that services declare, for pydantic's `create_model`."""
    declared = {point.name: point.load() for point in entry_points(group="sightline.settings")}
    return {name: (group, Field(default_factory=group)) for name, group in declared.items()}
