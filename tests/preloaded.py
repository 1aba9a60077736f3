"""Imported by the process that `tests.forked` forks programs from."""

from tests.loaded import load_in_every_fork

load_in_every_fork()
