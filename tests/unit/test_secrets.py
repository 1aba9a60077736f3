"""Secrets by reference: what each place gives, how long it is kept, and what is said without it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from sightline.runtime.connection_urls import database_url, refresh_database_url
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.secrets import is_reference, mark_refused, reveal
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import SecretsSettings
from tests.aws import Aws, aws


@pytest.fixture(scope="module")
def cloud() -> Iterator[Aws]:
    with aws() as found:
        yield found


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_us(self) -> int:
        return round(self.seconds * 1e6)

    def monotonic(self) -> float:
        return self.seconds


KEPT = SecretsSettings()
NEVER_KEPT = SecretsSettings(refresh_seconds=0)


def test_a_plain_value_is_itself() -> None:
    assert reveal(SecretStr("swordfish:1"), KEPT) == "swordfish:1"
    assert not is_reference(SecretStr("swordfish:1"))
    assert not mark_refused(SecretStr("swordfish:1"), KEPT)


def test_a_file_is_read_at_every_use(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    secret = SecretStr(f"file:{file}")
    file.write_text(" one \r\n")
    assert reveal(secret, KEPT) == " one "
    file.write_text("two")
    assert reveal(secret, KEPT) == "two"
    file.unlink()
    with pytest.raises(SightlineError, match="cannot be read: No such file"):
        reveal(secret, KEPT)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SightlineError, match="is not text"):
        reveal(secret, KEPT)


@pytest.mark.slow
def test_aws_gives_secrets_their_keys_and_parameters(cloud: Aws) -> None:
    cloud.secrets.create_secret(Name="given/whole", SecretString="swordfish")
    cloud.secrets.create_secret(Name="given/json", SecretString='{"password": "pike", "port": 1}')
    cloud.parameters.put_parameter(Name="/given/one", Value="perch", Type="SecureString")
    assert reveal(SecretStr("secretsmanager:given/whole"), KEPT) == "swordfish"
    assert reveal(SecretStr("secretsmanager:given/json#password"), KEPT) == "pike"
    assert reveal(SecretStr("secretsmanager:given/json#port"), KEPT) == "1"
    assert reveal(SecretStr("ssm:/given/one"), KEPT) == "perch"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("secretsmanager:nobody", "ResourceNotFoundException"),
        ("ssm:/nobody", "ParameterNotFound"),
        ("secretsmanager:wrong/text#key", "no JSON object with the key key"),
        ("secretsmanager:wrong/list#key", "no JSON object with the key key"),
        ("secretsmanager:wrong/binary", "is binary"),
    ],
)
def test_what_is_not_there_is_one_line_without_the_secret(
    cloud: Aws, reference: str, said: str
) -> None:
    if "nobody" not in reference:
        content = {"text": "swordfish", "list": '["swordfish"]'}
        name = reference.removeprefix("secretsmanager:").partition("#")[0]
        text = content.get(name.rpartition("/")[2])
        given = {"SecretString": text} if text else {"SecretBinary": b"swordfish"}
        cloud.secrets.create_secret(Name=name, **given)
    with pytest.raises(SightlineError, match=said) as caught:
        reveal(SecretStr(reference), KEPT)
    assert "\n" not in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.slow
def test_a_secret_is_kept_until_it_is_refused(cloud: Aws) -> None:
    secret = SecretStr("secretsmanager:kept")
    cloud.secrets.create_secret(Name="kept", SecretString="old")
    assert reveal(secret, KEPT) == "old"
    assert not mark_refused(secret, KEPT), "there is no other one yet"
    cloud.secrets.put_secret_value(SecretId="kept", SecretString="new")
    assert reveal(secret, KEPT) == "old", "kept for the refresh time"
    assert mark_refused(secret, KEPT)
    assert reveal(secret, KEPT) == "new"


@pytest.mark.slow
def test_a_secret_is_fetched_again_when_the_clock_says_that_it_is_old(cloud: Aws) -> None:
    secret, clock = SecretStr("secretsmanager:aged"), HandClock()
    cloud.secrets.create_secret(Name="aged", SecretString="old")
    assert reveal(secret, KEPT, clock) == "old"
    cloud.secrets.put_secret_value(SecretId="aged", SecretString="new")
    clock.seconds += KEPT.refresh_seconds - 1
    assert reveal(secret, KEPT, clock) == "old"
    clock.seconds += 2
    assert reveal(secret, KEPT, clock) == "new"


@pytest.mark.slow
def test_an_old_secret_is_fetched_again_and_used_while_aws_is_away(
    monkeypatch: pytest.MonkeyPatch, cloud: Aws
) -> None:
    secret = SecretStr("ssm:/away")
    cloud.parameters.put_parameter(Name="/away", Value="old", Type="SecureString")
    assert reveal(secret, NEVER_KEPT) == "old"
    cloud.parameters.put_parameter(Name="/away", Value="new", Type="SecureString", Overwrite=True)
    assert reveal(secret, NEVER_KEPT) == "new"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    assert reveal(secret, NEVER_KEPT) == "new"
    with pytest.raises(InfrastructureError, match="cannot be had"):
        mark_refused(secret, NEVER_KEPT)
    with pytest.raises(InfrastructureError, match="cannot be had"):
        reveal(SecretStr("ssm:/never-had"), NEVER_KEPT)


def test_the_database_password_may_be_a_file_and_hold_any_character(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss:/w?rd#%\n")
    settings = Settings(
        database_url=SecretStr("postgresql://ann@db:5433/site?sslmode=require"),
        database_password=SecretStr(f"file:{file}"),
    )
    assert database_url(settings) == (
        "postgresql://ann:p%40ss%3A%2Fw%3Frd%23%25@db:5433/site?sslmode=require"
    )


@pytest.mark.slow
def test_the_database_is_where_rds_writes_that_it_is(cloud: Aws) -> None:
    rds = {"engine": "postgres", "username": "ann", "password": "a/b", "host": "db", "port": 5433}
    cloud.secrets.create_secret(Name="rds", SecretString=json.dumps(rds | {"dbname": "site"}))
    settings = Settings(db_secret_name="rds")
    assert database_url(settings) == "postgresql://ann:a%2Fb@db:5433/site"
    elsewhere = SecretStr("postgresql://proxy/other?sslmode=verify-full")
    assert (
        database_url(settings.model_copy(update={"database_url": elsewhere}))
        == "postgresql://ann:a%2Fb@proxy/other?sslmode=verify-full"
    )
    cloud.secrets.put_secret_value(SecretId="rds", SecretString=json.dumps(rds | {"password": "c"}))
    assert refresh_database_url(settings)
    assert database_url(settings) == "postgresql://ann:c@db:5433/sightline"


@pytest.mark.slow
def test_a_secret_that_rds_has_not_written_is_one_line(cloud: Aws) -> None:
    cloud.secrets.create_secret(Name="not-rds", SecretString='{"username": "ann"}')
    with pytest.raises(SightlineError, match="not-rds is not as RDS writes it") as caught:
        database_url(Settings(db_secret_name="not-rds"))
    assert "\n" not in str(caught.value)
