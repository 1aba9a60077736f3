"""What the tests with a stack share, beside the stack itself."""

from collections.abc import Iterator

import pytest

from sightline.models import dlib_pack
from tests.loaded import load_dlib_pack


@pytest.fixture(scope="session", autouse=True)
def _models_are_loaded_once() -> Iterator[None]:
    """Commands within the tests get the models of dlib that have been loaded before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib_pack, "load_dlib_pack", load_dlib_pack)
        yield
