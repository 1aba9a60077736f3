"""`sightline config`: what is set and by whom, and whether it can be had."""

import json
from pathlib import Path

import pytest

from sightline.runtime.settings import Settings
from tests.stack.commands_support import run, sightline_json
from tests.support import run_sightline

pytestmark = pytest.mark.stack


def test_each_value_and_who_says_so_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "database_password: swordfish\nfleet: yard\nevidence: {observations: 3, min_quality: 0.5}\n"
    )
    result = run_sightline(
        tmp_path,
        *("--set", "evidence.observations=7", "--set", "kafka_bootstrap_servers=here:9092"),
        *("config", "show", "--json"),
        env={
            "DATABASE_URL": "postgresql://ann:pike@db/site",
            "KAFKA_BOOTSTRAP_SERVERS": "there:9092",
            "SIGHTLINE_FLEET": "gate",
            "SIGHTLINE_SINKS": '{"batch_records": 9}',
            "SIGHTLINE_ENCRYPTION__KEYS": "file:/run/keys",
        },
    )
    found = {row["setting"]: (row["value"], row["from"]) for row in json.loads(result.stdout)}
    assert found["evidence.observations"] == (7, "command line")
    assert found["kafka_bootstrap_servers"] == ("here:9092", "command line")
    assert found["fleet"] == ("gate", "SIGHTLINE_FLEET")
    assert found["sinks.batch_records"] == (9, "SIGHTLINE_SINKS")
    assert found["evidence.min_quality"] == (0.5, "config.yaml")
    assert found["evidence.min_face_px"] == (24.0, "default")
    assert found["database_url"] == ("**********", "DATABASE_URL")
    assert found["database_password"] == ("**********", "config.yaml")
    assert found["encryption.keys"] == ("file:/run/keys", "SIGHTLINE_ENCRYPTION__KEYS")


def test_what_is_set_is_tried(stack: Settings, tmp_path: Path) -> None:
    run(stack, "topics", "apply")  # other tests leave fleets
    found = sightline_json(stack, "config", "check")
    assert [row["part"] for row in found if row["state"] != "right"] == []
    assert {"secrets", "kafka", "database", "topics", "objects", "models"} <= {
        row["part"] for row in found
    }


def test_what_cannot_be_had_is_named_and_exits_with_1(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("database_password: swordfish\nmodels: /nonexistent\n")
    config.chmod(0o644)
    env = {"DATABASE_URL": "postgresql://ann@127.0.0.1:9/site"}
    result = run_sightline(tmp_path, "config", "check", "--json", env=env, check=False)
    assert result.returncode == 1
    said = {row["part"]: row["detail"] for row in json.loads(result.stdout)}
    assert "chmod 600" in said["secrets"]
    assert said["files"] == "models: there is no /nonexistent"
    assert "the database does not answer" in said["database"]
    assert "KAFKA_BOOTSTRAP_SERVERS" in said["kafka"]
    assert "swordfish" not in result.stdout
    assert list(tmp_path.iterdir()) == [config], "a check leaves nothing behind"
