"""Where settings come from: the command line, the environment, and `config.yaml` of the home.

What the command line says becomes a variable of the environment, so that the processes which
this one starts are told the same.
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

_PAGE: Final = "see docs/settings.md"

commanded: set[str] = set()
"""Variables that the command line has set."""


def default_home() -> Path:
    """Where an installation lives: `$SIGHTLINE_HOME`, else the user's data folder."""
    given = os.environ.get("SIGHTLINE_HOME")
    return Path(given).expanduser().resolve() if given else platformdirs.user_data_path("sightline")


def config_file() -> Path:
    """The file of settings, which need not be there."""
    return default_home() / "config.yaml"


def read_config_file() -> dict[str, Any]:
    """What the file says. Raises SightlineError with one line when it is no mapping."""
    path = config_file()
    try:
        found = yaml.safe_load(path.read_text()) if path.is_file() else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SightlineError(f"{path} is not YAML{where}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SightlineError(f"{path} cannot be read: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise SightlineError(f"{path} is not a mapping of settings; {_PAGE}")
    return found


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a group of settings."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def variable_of(path: Sequence[str]) -> str:
    """The variable of a place of the model: a setting, or a group as JSON."""
    return PREFIX + "__".join(path).upper()


def variables_of(path: Sequence[str], field: FieldInfo) -> list[str]:
    """The variables that set the field at a place of the model, the one that wins first."""
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [variable_of(path)]
    return [str(one) for one in names]


def command(model: type[BaseModel], pairs: Sequence[str]) -> None:
    """Take `KEY=VALUE` from the command line: `evidence.observations=7`.

    Raises SightlineError for an unknown key, and for one without a value.
    """
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and value):
            raise SightlineError(f"--set {pair}: write KEY=VALUE, such as evidence.observations=7")
        variable = _variable(model, key)
        os.environ[variable] = value
        commanded.add(variable)


def _variable(model: type[BaseModel], key: str) -> str:
    """The variable that says the same as a key of the command line."""
    group: type[BaseModel] | None = model
    parts = key.split(".")
    for part in parts:
        field = group.model_fields.get(part) if group else None
        if field is None:
            raise SightlineError(f"unknown setting {key}; {_PAGE}")
        group = group_of(field)
    if group is not None:
        example = f"{key}.{next(iter(group.model_fields))}"
        raise SightlineError(f"{key} is a group of settings, such as {example}")
    return variable_of(parts)


def refuse_unknown_variables(model: type[BaseModel]) -> None:
    """Raises SightlineError for a variable that begins as ours and names no setting."""
    known = {variable_of((name,)) for name in model.model_fields}
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper.split("__")[0] not in known:
            raise SightlineError(f"unknown setting {name} in the environment; {_PAGE}")
