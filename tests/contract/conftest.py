"""Setup of the contract suites."""

import pytest

pytest.register_assert_rewrite("tests.contract.kafka_contract")
