"""`docs/settings.md`, made from the settings model: `make docs`."""

from collections.abc import Iterator
from typing import get_args

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from sightline.settings import Settings

_HEAD = """# Settings

Made from `sightline/settings.py` by `make docs`.

Every setting is a variable of the environment or a key of `config.yaml` in the home; the
environment comes first. An unknown variable or key is an error. In the file a group is a mapping:

```yaml
pack: dlib
vision:
  shots: 7
```

| variable | default | what it is |
|---|---|---|
"""


def page() -> str:
    """The page, as it has to stand in `docs/settings.md`."""
    return _HEAD + "".join(f"{row}\n" for row in _rows(Settings, "SIGHTLINE_"))


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"| {_variables(name, field, prefix)} | {_default(field)} | {_meaning(field)} |"


def _variables(name: str, field: FieldInfo, prefix: str) -> str:
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [f"{prefix}{name.upper()}"]
    return ", ".join(f"`{one}`" for one in names)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the user's data folder"
    return "" if field.default in (None, "") else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    choices = [one for one in get_args(field.annotation) if isinstance(one, str)]
    meaning = field.description or ""
    return f"{meaning} ({', '.join(choices)})" if choices else meaning


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
