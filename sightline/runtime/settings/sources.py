"""Sources of settings: the command line, the environment, and `config.yaml` of the home.

Settings of the command line become environment variables, so that child processes inherit
them.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import platformdirs
import yaml
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from sightline.runtime.errors import SightlineError

PREFIX: Final = "SIGHTLINE_"

_DOCS_HINT: Final = "see docs/settings.md"

command_line_variables: set[str] = set()
"""Environment variables that the command line has set."""


def default_home() -> Path:
    """Return the home: `$SIGHTLINE_HOME`, else the user's data folder."""
    home = os.environ.get("SIGHTLINE_HOME")
    return Path(home).expanduser().resolve() if home else platformdirs.user_data_path("sightline")


def config_file() -> Path:
    """Return the path of the settings file, which need not exist."""
    return default_home() / "config.yaml"


def read_config_file() -> dict[str, Any]:
    """Return the settings file's content. Raises SightlineError if it is no mapping."""
    path = config_file()
    try:
        content = yaml.safe_load(path.read_text()) if path.is_file() else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        position = f", line {mark.line + 1}" if mark else ""
        raise SightlineError(f"{path} is not YAML{position}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SightlineError(f"{path} cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SightlineError(f"{path} is not a mapping of settings; {_DOCS_HINT}")
    return content


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a group of settings, else None."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def variable_of(path: Sequence[str]) -> str:
    """Return the environment variable of a setting, or of a group as JSON, by its path."""
    return PREFIX + "__".join(path).upper()


def variables_of(path: Sequence[str], field: FieldInfo) -> list[str]:
    """Return the environment variables that set a field, in order of precedence."""
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [variable_of(path)]
    return [str(name) for name in names]


def apply_command_line(model: type[BaseModel], pairs: Sequence[str]) -> None:
    """Apply `KEY=VALUE` of the command line, such as `evidence.observations=7`.

    Raises SightlineError for an unknown key and for a missing value.
    """
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and value):
            raise SightlineError(f"--set {pair}: write KEY=VALUE, such as evidence.observations=7")
        variable = _variable(model, key)
        os.environ[variable] = value
        command_line_variables.add(variable)


def _variable(model: type[BaseModel], key: str) -> str:
    """Return the environment variable of a key of the command line. Raises SightlineError."""
    group: type[BaseModel] | None = model
    parts = key.split(".")
    for part in parts:
        field = group.model_fields.get(part) if group else None
        if field is None:
            raise SightlineError(f"unknown setting {key}; {_DOCS_HINT}")
        group = group_of(field)
    if group is not None:
        example = f"{key}.{next(iter(group.model_fields))}"
        raise SightlineError(f"{key} is a group of settings, such as {example}")
    return variable_of(parts)


def refuse_unknown_variables(model: type[BaseModel]) -> None:
    """Raise SightlineError for an environment variable of ours that names no setting."""
    variables = {variable_of((name,)) for name in model.model_fields}
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper.split("__")[0] not in variables:
            raise SightlineError(f"unknown setting {name} in the environment; {_DOCS_HINT}")
