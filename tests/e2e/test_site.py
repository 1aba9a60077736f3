"""People walk past two cameras, and workers are killed meanwhile: everybody is one id."""

from pathlib import Path

import pytest

from tests.support import FEW_TRANSACTIONS, benchmark_json

pytestmark = pytest.mark.e2e


def test_everybody_is_one_id_on_every_camera_though_workers_are_killed(shared: Path) -> None:
    told = benchmark_json(
        "site", "--people=5", "--enrolled=2", "--cameras=2", "--seed=3", "--killed-only",
        env=FEW_TRANSACTIONS,
    )  # fmt: skip
    (idf1,), (tracks,) = told["site_idf1"], told["site_tracks"]
    assert idf1 >= 0.95
    assert tracks >= 10
    assert told["site_wrong_names"] == told["site_shared_ids"] == told["site_strays"] == [0]
