"""`sightline persons`, as a person runs it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import sightline_pb2 as pb
from sightline.runtime.settings import Settings
from tests.stack.commands_support import sightline_json
from tests.stack.corrections_support import Logs
from tests.stack.sinks_support import World, new_world
from tests.support import run_sightline

pytestmark = pytest.mark.stack


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


def test_persons_are_listed_shown_named_merged_and_their_history_is_told(
    stack: Settings, world: World, tmp_path: Path
) -> None:
    ann = world.add_employee("Ann")
    logs = Logs(stack, world, tmp_path)
    logs.tell(
        world.motion(pb.MotionEvent.STARTED, 0),
        world.sighting(stranger="x", reason="3 shots that agree", candidate=ann, shots=3),
        world.sighting(stranger="y", start=100, decided=101),
    )
    x, y = (world.sighting(stranger=one).global_id for one in "xy")
    name = f"Courier {world.id}"
    sightline_json(stack, "persons", "name", str(x), name)
    listed = {
        row["global_id"]: row for row in sightline_json(stack, "persons", "list", "--limit=100000")
    }
    assert (listed[x]["assigned_name"], listed[y]["assigned_name"]) == (name, None)
    told = sightline_json(stack, "persons", "merge", str(y), world.name_of(ann))
    ann_id = told["merged_into"]
    assert (told["global_id"], logs.who(100)) == (y, (ann_id, world.name_of(ann)))

    shown: dict[str, Any] = sightline_json(stack, "persons", "show", str(y))
    assert (shown["global_id"], shown["merged"]) == (ann_id, [y])
    assert [track["track_uuid"] for track in shown["tracks"]] == [world.track(100)]
    page = run_sightline(stack.home, "persons", "show", name, env={"COLUMNS": "200"}).stdout
    assert world.track(0) in page

    history = sightline_json(stack, "persons", "history", "--limit", "2")
    assert [row["kind"] for row in history] == ["merge", "name"]
    assert history[0]["made_by"].startswith("command line")

    why = run_sightline(
        stack.home, "logs", "access", "--person", name, "--why", env={"COLUMNS": "200"}
    ).stdout
    assert "3 shots that agree" in why
    assert world.name_of(ann) in why
    told = sightline_json(stack, "logs", "access", "--person", name)
    assert [(row["reason"], row["shots"]) for row in told] == [("3 shots that agree", 3)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("show", "12345"), "there is no person 12345"),
        (("merge", "nobody of this name", "12345"), "nobody is called nobody of this name"),
        (("reject", "track-7"), "track-7 is no id of a track"),
    ],
)
def test_what_cannot_be_is_one_line(stack: Settings, arguments: tuple[str, ...], why: str) -> None:
    result = run_sightline(stack.home, "persons", *arguments, check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert why in result.stderr
