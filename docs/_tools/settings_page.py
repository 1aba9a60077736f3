"""Generator of `docs/settings.md` from the settings model: `make docs`."""

from collections.abc import Iterator
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from sightline.runtime.settings import Settings
from sightline.runtime.settings.provenance import setting_fields
from sightline.runtime.settings.sources import variables_of

_HEAD = """# Settings

Made from `sightline/runtime/settings` by `make docs`.

Every setting is a variable of the environment, a key of `config.yaml` in the home, or `--set` on
the command line (`sightline --set evidence.observations=7 run vision`). The command line comes
before the environment, and the file is last. Unknown settings are errors. In the file a group is a
mapping:

```yaml
pack: dlib
evidence:
  observations: 7
```

`sightline config show` lists each setting with its source; `sightline config check` tries them:
secrets, files, servers, models.

## Secrets

A setting that is called a secret below holds the secret itself, or a reference to it:

| value | secret |
|---|---|
| `file:/run/secrets/db` | the content of a file without its last line break, read at every use |
| `secretsmanager:NAME` | a secret of AWS Secrets Manager |
| `secretsmanager:NAME#KEY` | a value of one that is a JSON object |
| `ssm:NAME` | a parameter of AWS Systems Manager, decrypted |

boto3 finds region and credentials as usual (`AWS_DEFAULT_REGION`, a role, ...). A secret that
changes needs no restart: it is fetched again when it is older than `secrets.refresh_seconds`, and
when its server refuses it. While AWS does not answer, the cached secret is used. With
`DB_SECRET_NAME` user and password come from a secret as RDS writes and rotates it, and without
`DATABASE_URL` the address too.

## All settings

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """Return the text of `docs/settings.md`."""
    return _HEAD + "".join(f"{row}\n" for row in _rows())


def _rows() -> Iterator[str]:
    for path, field in setting_fields(Settings):
        names = ", ".join(f"`{variable}`" for variable in variables_of(path, field))
        yield f"| {names} | {_default(field)} | {_meaning(field)} |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the user's data folder"
    return "" if field.default in (None, "") else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    meaning = field.description or ""
    if _is_secret(field.annotation):
        meaning = f"secret: {meaning}"
    return f"{meaning} ({', '.join(choices)})" if choices else meaning


def _is_secret(kind: object) -> bool:
    return kind is SecretStr or any(_is_secret(argument) for argument in get_args(kind))


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
