"""The models of the pack dlib, loaded once for all who need them in a process and in its forks.

To load them takes two seconds of a core, and nobody changes them: `tests.forked` loads this module
before it forks programs, and `tests/stack` uses it for commands that run within the tests.
"""

from functools import cache

from sightline.models import dlib_pack

load_dlib_pack = cache(dlib_pack.load_dlib_pack)


def load_in_every_fork() -> None:
    """Load the models here and now, and give them to whoever asks for the pack."""
    dlib_pack.load_dlib_pack = load_dlib_pack
    load_dlib_pack()
