"""Provenance of settings: the value of each, and the source that set it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from sightline.runtime.secrets import is_reference
from sightline.runtime.settings import Settings, sources


def list_settings(settings: Settings) -> list[dict[str, Any]]:
    """Return each setting, its value and its source; of a secret only the reference is shown."""
    file = sources.read_config_file()
    return [
        {
            "setting": ".".join(path),
            "value": _printable(value_of(settings, path)),
            "from": source_of(path, field, file),
        }
        for path, field in setting_fields(Settings)
    ]


def setting_fields(
    model: type[BaseModel], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield the path and the field of every setting, in groups as well."""
    for name, field in model.model_fields.items():
        group = sources.group_of(field)
        if group is None:
            yield (*path, name), field
        else:
            yield from setting_fields(group, (*path, name))


def value_of(settings: Settings, path: Sequence[str]) -> Any:
    """Return the value at a path of the model."""
    value: Any = settings
    for part in path:
        value = getattr(value, part)
    return value


def source_of(path: Sequence[str], field: FieldInfo, file: Mapping[str, Any]) -> str:
    """Return a setting's source: "command line", a variable's name, "config.yaml", "default"."""
    groups = [sources.variable_of(path[:depth]) for depth in range(1, len(path))]  # as JSON
    own = sources.variables_of(path, field)
    below = [name for name in os.environ if name.upper().startswith(f"{own[0]}__")]
    for name in (*own, *below, *reversed(groups)):
        if os.environ.get(name):
            return "command line" if name in sources.command_line_variables else name
    return "config.yaml" if _is_in_file(path, field, file) else "default"


def _is_in_file(path: Sequence[str], field: FieldInfo, file: Mapping[str, Any]) -> bool:
    names = {path[-1], *sources.variables_of(path, field)}
    inner: Any = file
    for part in path[:-1]:
        inner = inner.get(part) if isinstance(inner, Mapping) else None
    return isinstance(inner, Mapping) and not names.isdisjoint(inner)


def _printable(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value() if is_reference(value) else str(value)
    if isinstance(value, dict):
        return {key: _printable(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(element) for element in value]
    return str(value) if isinstance(value, Path) else value
