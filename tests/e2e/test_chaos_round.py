"""A short round of chaos: some faults while a film runs, and the outcome is a calm run's."""

import pytest

from tests.support import benchmark_json

pytestmark = pytest.mark.e2e


def test_nothing_is_lost_or_doubled_by_six_faults() -> None:
    told = benchmark_json("chaos", "--short", "--faults=6", "--seed=5")
    assert told["failures"] == []
    assert told["faults"] == 6
    assert told["rows"] > 0
