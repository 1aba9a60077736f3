"""The people in the demo's films can be seen and told apart by each pack."""

from pathlib import Path

import numpy as np
import pytest

from sightline.demo.cast import CAST, CutOut, cut_out, portrait
from sightline.demo.film import FPS, Scene, appearances, render
from sightline.demo.script import scenes
from sightline.demo.truth import Appearance
from sightline.identity.calibration import builtin
from sightline.settings import Settings
from sightline.vision.interface import Face, Floats
from sightline.vision.packs import ModelPack, load_pack
from sightline.vision.quality import assess

pytestmark = pytest.mark.models

_EVERY = 8
"""Of the films' frames, one in so many is looked at."""


def by_frame(scene: Scene, cuts: dict[str, CutOut]) -> dict[int, list[Appearance]]:
    truth: dict[int, list[Appearance]] = {}
    for one in appearances(scene, cuts):
        truth.setdefault(one.frame, []).append(one)
    return truth


def shots_by_person(pack: ModelPack, every: int) -> dict[tuple[str, str], list[Floats]]:
    """Embeddings of the good faces in the films, by camera and by whose face it is."""
    cuts = {member.name: cut_out(member) for member in CAST}
    shots: dict[tuple[str, str], list[Floats]] = {}
    for scene in scenes():
        truth = by_frame(scene, cuts)
        for number, image in enumerate(render(scene, cuts)):
            if number % every or number not in truth:
                continue
            for face in pack.faces.detect(image):
                inside = [one.who for one in truth[number] if _middle_in(face, one.face)]
                if len(inside) == 1 and assess(image, face).refusal(24, 0.25) is None:
                    vector = pack.embedder.embed(image, face)
                    shots.setdefault((scene.camera, inside[0]), []).append(vector)
    return shots


def _middle_in(face: Face, box: tuple[float, float, float, float]) -> bool:
    x, y = (face.box[:2] + face.box[2:]) / 2
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def check(pack: ModelPack) -> None:
    scale = builtin(pack.id).scale(len(CAST), 1e-3)
    photos = {}
    for member in CAST:
        image = portrait(member)
        [face] = pack.faces.detect(image)
        photos[member.name] = pack.embedder.embed(image, face)
    shots = shots_by_person(pack, _EVERY)
    assert len(shots) == 2 * len(CAST)
    for (camera, who), vectors in shots.items():
        assert len(vectors) >= 4, (camera, who)
        mean = np.mean(vectors, axis=0)
        scores = {name: float(mean @ photo) for name, photo in photos.items()}
        own = scores.pop(who)
        assert own > scale.threshold(4), (camera, who)
        assert max(scores.values()) < scale.newcomer, (camera, who, scores)


def test_with_the_pack_of_the_registry() -> None:
    check(load_pack(Settings(pack="dlib")))


def test_with_the_shared_models(shared: Path) -> None:
    pack = load_pack(Settings(models=shared / "models"))
    check(pack)
    assert pack.persons is not None
    cuts = {member.name: cut_out(member) for member in CAST}
    for scene in scenes():
        truth = by_frame(scene, cuts)
        for number, image in enumerate(render(scene, cuts)):
            if number % (2 * FPS) == 0 and len(truth.get(number, ())) == 1:
                boxes, scores = pack.persons.detect(image)
                assert len(boxes), (scene.camera, number)
                assert scores[0] > 0.6
