"""The parts that tests stand on: the shared media, and one real stack for the whole session."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from psycopg import sql

from sightline.runtime.connection_urls import StackState
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import connect
from tests.required import (  # noqa: F401 - hooks of pytest
    pytest_make_collect_report,
    pytest_runtest_makereport,
)
from tests.support import FOREIGN, ROOT, own_home, run_sightline

# What is loaded to collect the tests lives as long as the process: the garbage collector need not
# go through it over and over, which takes a tenth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """Set the garbage collector to what the tests make."""
    gc.freeze()
    gc.enable()


# A busy machine is no failure. Every run tries other examples.
hypothesis.settings.register_profile("sightline", deadline=None, max_examples=50)
hypothesis.settings.load_profile("sightline")


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """No test reaches the installation of the user who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(FOREIGN):
                patch.delenv(name)
        patch.setenv("SIGHTLINE_HOME", "/nonexistent/sightline-tests")
        load_settings.cache_clear()
        yield
    load_settings.cache_clear()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real models and media next to the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared folder with models and media")
    return folder


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of the test's own; whatever it has started is stopped."""
    with own_home() as folder:
        yield folder


@pytest.fixture(scope="session")
def plain_stack() -> Iterator[Settings]:
    """A real broker and database with topics and tables, for the whole session."""
    with own_home() as folder:
        run_sightline(folder, "up", seconds=300)
        settings = Settings(home=folder)
        _prove_passwords_quickly(settings)
        yield settings


def _prove_passwords_quickly(settings: Settings) -> None:
    """Have the password hashed once instead of 4096 times, at each of thousands of connections.

    It is as random as before; the hashing took a third of what a connection costs.
    """
    ports = StackState.load(settings.home)
    assert ports is not None
    with connect(settings, autocommit=True) as db:
        db.execute("SET scram_iterations = 1")
        statement = sql.SQL("ALTER ROLE postgres PASSWORD {}")
        db.execute(statement.format(sql.Literal(ports.postgres_password)))


@pytest.fixture(scope="session")
def sealed_stack(plain_stack: Settings) -> Iterator[Settings]:
    """The same broker, and a database and objects in which everything is sealed."""
    from tests.sealed import all_sealed  # its migrations take long to load, and few need them

    with all_sealed(plain_stack) as settings:
        yield settings


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Settings:
    """The stack that tests share; those of `PLAIN_AND_SEALED` pass on both."""
    kind = getattr(request, "param", "plain")
    settings: Settings = request.getfixturevalue(f"{kind}_stack")
    return settings
