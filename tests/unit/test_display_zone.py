"""The zone of times that people read and type, wherever the machine is."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from ops import terminal
from ops.cli.camera import _start_time
from ops.cli.logs import parse_time
from sightline.runtime.display_zone import DisplayZone
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings, load_settings
from sightline.runtime.settings.groups import DisplaySettings

AT = datetime(2026, 1, 1, 23, 0, 0, tzinfo=UTC)
TOKYO = DisplayZone(ZoneInfo("Asia/Tokyo"))


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SIGHTLINE_DISPLAY__TIMEZONE", "Asia/Tokyo")
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture
def machine_in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        load_settings.cache_clear()
        yield
    time.tzset()
    load_settings.cache_clear()


def test_a_typed_time_is_in_the_zone_unless_it_says_another() -> None:
    assert TOKYO.aware(datetime(2026, 1, 2, 8)) == AT  # noqa: DTZ001 - as it is typed
    offset = datetime(2026, 1, 2, 8, tzinfo=timezone(timedelta(hours=1)))
    assert TOKYO.aware(offset) is offset
    assert f"{TOKYO.local(AT):%Y-%m-%d %H:%M}" == "2026-01-02 08:00"
    assert TOKYO.name(AT) == "Asia/Tokyo"


@pytest.mark.usefixtures("machine_in_new_york")
def test_without_a_setting_it_is_the_machine_s() -> None:
    zone = DisplayZone.of(Settings())
    assert zone.aware(datetime(2026, 1, 1, 18)) == AT  # noqa: DTZ001
    assert zone.aware(datetime(2026, 7, 1, 18)).utcoffset() == timedelta(hours=-4)  # noqa: DTZ001
    assert f"{zone.local(AT):%Y-%m-%d %H:%M}" == "2026-01-01 18:00"
    assert zone.name(AT) == "UTC-05:00"


@pytest.mark.usefixtures("tokyo")
def test_commands_read_and_print_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_time("2026-01-02T08:00") == AT
    assert parse_time("2026-01-02T08:00+01:00") == AT + timedelta(hours=8)
    assert parse_time("2026-01-01T23:00Z") == AT
    assert parse_time("2026-01-02") == AT - timedelta(hours=8)
    assert _start_time("2026-01-02T08:00") == AT
    terminal.print_rows([{"time": AT, "name": "Ada"}], title="Access log")
    terminal.print_rows([{"name": "Ada"}], title="Employees")
    terminal.print_rows([{"time": AT}], title="JSON", as_json=True)
    out = capsys.readouterr().out
    assert "2026-01-02 08:00:00" in out
    assert "Asia/Tokyo" in out
    assert out.count("Asia/Tokyo") == 1  # where there are no times no zone is named
    assert "2026-01-01T23:00:00+00:00" in out


@pytest.mark.parametrize(
    "wrong", ["Tokyo", "Asia/Nowhere", "../etc/passwd", "/etc/localtime", "+9"]
)
def test_what_is_no_zone_is_refused_in_a_line(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DISPLAY__TIMEZONE", wrong)
    load_settings.cache_clear()
    with pytest.raises(SightlineError, match=r"display\.timezone: .* is no time zone") as told:
        load_settings()
    assert "\n" not in str(told.value)
    load_settings.cache_clear()


def test_an_empty_setting_is_none() -> None:
    assert DisplaySettings(timezone=None).timezone is None
