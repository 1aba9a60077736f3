"""Models, loaded once for all who need them in a process; those of the pack dlib in its forks too.

To load them takes two seconds of a core, and nobody changes them: `tests.forked` loads this module
before it forks programs, and `tests/stack` uses it for commands that run within the tests.
"""

from functools import cache
from pathlib import Path

from sightline.models import dlib_pack
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.runtime.settings import Settings

load_dlib_pack = cache(dlib_pack.load_dlib_pack)


@cache
def load_pack_of(models: Path | None) -> ModelPack:
    """The pack of a folder as `load_pack` loads it, or the pack dlib."""
    return load_pack(Settings(models=models, pack="dlib" if models is None else "auto"))


def load_in_every_fork() -> None:
    """Load the models here and now, and give them to whoever asks for the pack."""
    dlib_pack.load_dlib_pack = load_dlib_pack
    load_dlib_pack()
