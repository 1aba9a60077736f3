"""`up`, `down` and `status` on real processes."""

import pytest

from sightline.settings import Settings
from tests.support import sightline_json

pytestmark = pytest.mark.stack


def test_the_stack_is_up(stack: Settings) -> None:
    parts = {part["part"]: part["state"] for part in sightline_json(stack, "status")["parts"]}
    assert parts == {"kafka": "up", "database": "up", "objects": "up"}
