"""With REQUIRE_ALL=1 in the environment a test that is skipped because something is missing fails.

A suite that skips what it cannot run passes by absence. What no machine of the kind can have may
still be missing: `MAY_BE_MISSING`.
"""

import os
import re
from collections.abc import Generator
from typing import Any

import pytest

MAY_BE_MISSING = (
    r"no \.\./shared",  # the models and media beside the repository
    r"no GPU",
    # These tests are about an installation without it, so nothing is missing.
    r"ultralytics is installed",
    r"this onnxruntime has",
)
"""Regular expressions of the reasons that are accepted, from their beginning on."""


def is_accepted(reason: str) -> bool:
    """Return whether a test may be skipped for a reason on a machine that requires all."""
    return any(re.match(accepted, reason) for accepted in MAY_BE_MISSING)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The reason that a skipped test gave; pytest keeps it as (file, line, "Skipped: REASON")."""
    told = report.longrepr
    return str(told[2] if isinstance(told, tuple) else told).removeprefix("Skipped: ")


def _required(report: Any) -> None:
    if os.environ.get("REQUIRE_ALL") != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _reason(report)
    if not is_accepted(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped, and REQUIRE_ALL=1: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test."""
    report = yield
    _required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skips itself as a whole."""
    report = yield
    _required(report)
    return report
