"""The people in the demo's films can be seen and told apart by each pack."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ops.demo.demo_persons import DEMO_PERSONS, Image, cut_out, enrolment_photo
from ops.demo.film import appearances, render
from ops.demo.scenario import scenes
from ops.demo.truth import Appearance
from sightline.identity.calibration import builtin_calibration
from sightline.models.interface import Face, Float32Array, ModelPack
from sightline.models.quality import assess
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models

_EVERY_FACE, _EVERY_BODY = 9, 27
"""Of the films' frames, one in so many is looked at."""


@dataclass(frozen=True)
class Frame:
    """One in which somebody is, and that is looked at."""

    camera: str
    number: int
    image: Image
    truth: list[Appearance]


@pytest.fixture(scope="module")
def film() -> list[Frame]:
    """Of both films; frames that are not looked at are not drawn."""
    cuts = {member.name: cut_out(member) for member in DEMO_PERSONS}
    frames = []
    for scene in scenes():
        truth: dict[int, list[Appearance]] = {}
        for appearance in appearances(scene, cuts):
            truth.setdefault(appearance.frame, []).append(appearance)
        numbers = [number for number in truth if number % _EVERY_FACE == 0]
        frames += [
            Frame(scene.camera, number, image, truth[number])
            for number, image in zip(numbers, render(scene, cuts, numbers), strict=True)
        ]
    return frames


def shots_by_person(
    pack: ModelPack, film: list[Frame]
) -> dict[tuple[str, str], list[Float32Array]]:
    """Embeddings of the good faces in the films, by camera and by whose face it is."""
    shots: dict[tuple[str, str], list[Float32Array]] = {}
    for frame in film:
        for face in pack.faces.detect([frame.image])[0]:
            inside = [person.name for person in frame.truth if _middle_in(face, person.face)]
            if len(inside) == 1 and assess(frame.image, face).refusal(24, 0.25) is None:
                [vector] = pack.embedder.embed([(frame.image, face)])
                shots.setdefault((frame.camera, inside[0]), []).append(vector)
    return shots


def _middle_in(face: Face, box: tuple[float, float, float, float]) -> bool:
    x, y = (face.box[:2] + face.box[2:]) / 2
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def check(pack: ModelPack, film: list[Frame]) -> None:
    scale = builtin_calibration(pack.id).scale(len(DEMO_PERSONS), 1e-3)
    photos = {}
    for member in DEMO_PERSONS:
        image = enrolment_photo(member)
        [[face]] = pack.faces.detect([image])
        [photos[member.name]] = pack.embedder.embed([(image, face)])
    shots = shots_by_person(pack, film)
    assert len(shots) == 2 * len(DEMO_PERSONS)
    for (camera, person), vectors in shots.items():
        assert len(vectors) >= 4, (camera, person)
        mean = np.mean(vectors, axis=0)
        scores = {name: float(mean @ photo) for name, photo in photos.items()}
        own = scores.pop(person)
        assert own > scale.threshold(4), (camera, person)
        assert max(scores.values()) < scale.unknown_threshold, (camera, person, scores)


def test_with_the_pack_of_the_registry(film: list[Frame]) -> None:
    check(load_pack_of(None), film)


def test_with_the_shared_models(shared: Path, film: list[Frame]) -> None:
    pack = load_pack_of(shared / "models")
    check(pack, film)
    assert pack.persons is not None
    for frame in film:
        if frame.number % _EVERY_BODY == 0 and len(frame.truth) == 1:
            [(boxes, scores)] = pack.persons.detect([frame.image])
            assert len(boxes), (frame.camera, frame.number)
            assert scores[0] > 0.6
