"""What a calibration promises follows from the people who were measured, and from how many."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import betaincinv

from ops.calibration.fit import MIN_PEOPLE, calibrate
from ops.calibration.report import measured, thresholds
from sightline.identity.calibration import Calibration, builtin_calibration
from sightline.identity.evidence import Observation, mean_of, score_of
from sightline.runtime.errors import SightlineError

DIMENSION = 64
PACKS = ["mobilefacenet_128-e72a5710", "dlib", "buffalo_l", "unheard-of"]


def unit(vector: Any) -> Any:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def population(
    count: int, seed: int, portraits: int = 8, mood: float = 0.4
) -> dict[str, list[Observation]]:
    """People in random directions; their portraits differ by noise of length `mood`."""
    random = np.random.default_rng(seed)
    people = {}
    for person in range(count):
        own = random.standard_normal(DIMENSION) / math.sqrt(DIMENSION)
        noise = random.standard_normal((portraits, DIMENSION)) * mood / math.sqrt(DIMENSION)
        people[f"p{person}"] = [
            Observation(f"{person}-{number}", unit(own + one), 0.8)
            for number, one in enumerate(noise)
        ]
    return people


@pytest.fixture(scope="module")
def ten() -> Calibration:
    return calibrate("test", population(10, seed=1), "random directions").calibration


@pytest.fixture(scope="module")
def five() -> Calibration:
    return calibrate("test", population(5, seed=2), "random directions").calibration


def test_thresholds_rise_with_people_and_with_care(ten: Calibration) -> None:
    for shots in (1, 2, 3, 4, 5, 9):
        by_people = [ten.scale(people, 1e-3).threshold(shots) for people in (1, 3, 40, 41, 10_000)]
        assert by_people == sorted(by_people)
        assert by_people[0] < by_people[-1]
        by_rate = [ten.scale(100, rate).threshold(shots) for rate in (0.3, 1e-2, 9e-3, 1e-3, 1e-4)]
        assert by_rate == sorted(by_rate)


def test_newcomers_stay_below_every_name_and_rise_with_the_gallery(ten: Calibration) -> None:
    scales = [ten.scale(people, 1e-3) for people in (1, 10, 100, 1_000, 10_000, 100_000, 10**7)]
    assert all(scale.unknown_threshold < min(scale.name_thresholds) for scale in scales)
    newcomers = [scale.unknown_threshold for scale in scales]
    assert newcomers == sorted(newcomers)
    assert newcomers[-1] < 1.0


@pytest.fixture(scope="module")
def sixty() -> Calibration:
    people = population(60, seed=3, portraits=4, mood=0.02)
    return calibrate("test", people, "random directions").calibration


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-2, 1e-3, 1e-4])
def test_the_tail_of_random_directions_is_found(sixty: Calibration, rate: float) -> None:
    half = (DIMENSION - 1) / 2
    exact = 1 - 2 * betaincinv(half, half, rate)
    (one,) = [one for one in sixty.impostors if (one.shots, one.photos) == (1, 1)]
    estimate = float(np.interp(-math.log(rate), -np.log(sixty.rates), one.estimate))
    assert estimate == pytest.approx(exact, abs=0.03)
    assert one.shape == pytest.approx(-1 / half, rel=0.2)


@pytest.mark.slow
def test_more_people_are_less_caution() -> None:
    everybody = population(40, seed=4)

    def caution(count: int) -> float:
        some = dict(list(everybody.items())[:count])
        found = calibrate("test", some, "random directions").calibration
        return float(np.mean([one.bound[11] - one.estimate[11] for one in found.impostors]))

    by_number = [caution(count) for count in (6, 12, 40)]
    assert by_number == sorted(by_number, reverse=True)
    assert by_number[-1] > 0


@pytest.mark.slow
def test_strangers_get_names_no_more_often_than_wanted() -> None:
    """Calibrated on twenty, tried on many others of the same population."""
    from scipy.stats import binom  # takes long to load

    found = calibrate("test", population(20, seed=5), "random directions").calibration
    wanted, number = 1e-2, 20
    scale = found.scale(number, wanted)
    gallery = [[shot.embedding for shot in own[:3]] for own in population(number, seed=6).values()]
    means = [mean_of(templates) for templates in gallery]
    strangers = [own[0].embedding for own in population(2_000, seed=7, portraits=1).values()]
    names = sum(
        max(score_of(one, own, mean) for own, mean in zip(gallery, means, strict=True))
        >= scale.threshold(1)
        for one in strangers
    )
    assert names <= binom.ppf(0.95, len(strangers), wanted)


def test_what_few_people_cannot_support_is_refused(five: Calibration) -> None:
    scale = five.scale(1_000_000, 1e-3)
    assert scale.threshold(1) == scale.threshold(5) == math.inf
    assert scale.confidence(0.999, 3) == 0.0
    reason = five.unsupported_reason(1_000_000, 1e-3)
    assert reason is not None and "5 measured people support" in reason
    assert five.unsupported_reason(1, 0.2) is None
    assert math.isfinite(five.scale(1, 0.2).threshold(1))
    assert five.min_supported_rate > 1e-9


def test_a_promise_ends_where_the_measured_people_say(ten: Calibration) -> None:
    just, beyond = ten.min_supported_rate * 1.01, ten.min_supported_rate * 0.99
    assert all(math.isfinite(score) for score in ten.scale(1, just).name_thresholds)
    assert math.inf in ten.scale(1, beyond).name_thresholds
    assert (ten.unsupported_reason(1, just), ten.unsupported_reason(1, beyond) is None) == (
        None,
        False,
    )


@pytest.mark.slow
def test_one_person_in_two_folders_is_found_and_never_promised_away() -> None:
    people = population(12, seed=8)
    people["again"] = [
        Observation(f"{shot.id} again", shot.embedding, shot.quality) for shot in people["p3"]
    ]
    fitted = calibrate("test", people, "random directions")
    assert set(fitted.most_alike[:2]) == {"p3", "again"}
    assert fitted.calibration.scale(100, 1e-3).threshold(1) > 0.7


@pytest.mark.parametrize(
    ("people", "said"),
    [
        (population(MIN_PEOPLE - 1, seed=1), "4 people with two usable portraits"),
        (population(20, seed=1, portraits=1), "0 people with two usable portraits"),
        ({}, "0 people"),
    ],
)
def test_too_few_people_are_an_error(people: dict[str, list[Observation]], said: str) -> None:
    with pytest.raises(SightlineError, match=said):
        calibrate("test", people, "nobody")


def test_a_pack_to_which_all_look_the_same_is_an_error() -> None:
    one = population(1, seed=1)["p0"][0]
    people = {f"p{number}": [one, one, one] for number in range(9)}
    with pytest.raises(SightlineError, match="all faces look the same"):
        calibrate("test", people, "a broken model")


def test_few_portraits_measure_few_shots() -> None:
    found = calibrate("test", population(8, seed=9, portraits=2), "two of each").calibration
    assert found.observation_counts == [1, 2]
    assert {one.photos for one in found.genuine} == {1}
    scale = found.scale(10, 1e-2)
    assert scale.threshold(2) == scale.threshold(5)


def test_others_can_be_the_strangers() -> None:
    own, others = population(6, seed=10), population(12, seed=11, portraits=3)
    found = calibrate("test", own, "folder", impostors=others).calibration
    assert (found.people, found.portraits) == (12, 36)
    assert {one.people for one in found.impostors} == {12}
    assert {one.people for one in found.genuine} == {6}


@pytest.mark.parametrize("others", [{}, population(3, seed=1)])
def test_too_few_others_are_an_error(others: dict[str, list[Observation]]) -> None:
    with pytest.raises(SightlineError, match="people to compare as different persons"):
        calibrate("test", population(6, seed=10), "folder", impostors=others)


@pytest.mark.slow
def test_measuring_again_gives_the_same(ten: Calibration) -> None:
    again = calibrate("test", population(10, seed=1), "random directions").calibration
    assert again == ten
    other = calibrate("test", population(10, seed=12), "random directions").calibration
    assert other.id != ten.id


def test_json_brings_it_back(ten: Calibration) -> None:
    again = Calibration.model_validate_json(ten.model_dump_json())
    assert again == ten
    assert again.scale(77, 1e-3) == ten.scale(77, 1e-3)


def changed(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *outer, last = path.split(".")
        inner: Any = document
        for name in outer:
            inner = inner[int(name)] if name.isdecimal() else inner[name]
        inner[int(last) if last.isdecimal() else last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("version", 2),
        changed("surprise", 1),
        changed("impostors.0.surprise", 1),
        changed("people", -3),
        changed("people", 0),
        changed("impostors.0.pairs", -1),
        changed("newcomer", math.nan),
        changed("agree", math.inf),
        changed("lead", -0.1),
        changed("id", ""),
        changed("confidence", 1.0),
        changed("rates", [0.1]),
        changed("rates.3", 0.5),
        changed("rates.3", -0.5),
        changed("impostors", []),
        changed("genuine", []),
        changed("impostors.0.bound.5", 1.7),
        changed("impostors.0.bound.5", math.nan),
        changed("impostors.0.bound.5", -0.9),
        changed("impostors.0.estimate.5", 0.99),
        changed("impostors.0.bound", [0.1, 0.2]),
        changed("impostors.0.supported", 0.0),
        changed("impostors.0.shape", 0.4),
        changed("genuine.0.scores.3", 2.0),
        changed("genuine.0.scores", [0.1]),
    ],
)
def test_nonsense_is_refused(ten: Calibration, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(ten.model_dump_json())
    change(document)
    with pytest.raises(ValueError):
        Calibration.model_validate_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", '{"version": 1}'])
def test_what_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Calibration.model_validate_json(text)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan, 2.0])
def test_what_is_no_rate_is_refused(ten: Calibration, rate: float) -> None:
    with pytest.raises(ValueError, match="no rate"):
        ten.scale(10, rate)


@pytest.mark.parametrize("pack", PACKS)
def test_every_pack_has_a_calibration(pack: str) -> None:
    found = builtin_calibration(pack)
    assert found.pack == pack
    assert Calibration.model_validate_json(found.model_dump_json()) == found
    scale = found.scale(100, 1e-3)
    assert all(0.4 < score < 1.0 for score in scale.name_thresholds)
    assert scale.unknown_threshold < min(scale.name_thresholds)
    assert 0 < scale.lead < 0.1
    assert (scale.people, scale.target_fpir, scale.calibration) == (100, 1e-3, found.id)


def test_a_pack_never_measured_is_said_to_be_and_dealt_with_carefully() -> None:
    known, large, other = (
        builtin_calibration(pack) for pack in (PACKS[0], "buffalo_l", "unheard-of")
    )
    assert known.measured and builtin_calibration("dlib").measured
    assert not large.measured and not other.measured
    assert "not measured" in large.source and "not measured" in other.source
    # The same name and other weights: another embedder.
    assert not builtin_calibration("mobilefacenet_128-00000000").measured
    for people in (1, 50, 1_000):
        scores = [one.scale(people, 1e-3).threshold(3) for one in (known, large, other)]
        assert scores == sorted(scores)
        assert scores[2] > scores[0] + 0.03
    assert other.min_supported_rate > known.min_supported_rate
    assert "none was measured with this pack" in (other.unsupported_reason(10**6, 1e-3) or "")


@pytest.mark.parametrize("pack", PACKS)
def test_confidence_grows_with_the_score(pack: str) -> None:
    scale = builtin_calibration(pack).scale(50, 1e-3)
    for shots in (1, 3, 7):
        steps = [scale.confidence(score, shots) for score in np.linspace(-1, 1, 200)]
        assert steps == sorted(steps)
        assert 0.0 <= steps[0] < steps[-1] <= 1.0
        assert scale.confidence(scale.threshold(shots), shots) == pytest.approx(0.9)


@pytest.mark.slow
def test_the_report_says_what_is_extrapolated_and_draws_it(
    five: Calibration, tmp_path: Path
) -> None:
    from ops.calibration.det_curve import draw  # loads matplotlib

    rows = measured(five)
    assert rows[0]["pairs"] == 10 and rows[0]["counted"] == "1e-01"
    assert all(float(row["promised"]) >= 1e-9 for row in rows)
    found = thresholds(five, 1e-3)
    assert found[-1]["people"] == "100,000" and found[-1]["threshold"] == "not promised"
    assert found[-1]["missed, 1 photo"] == "100.0%"
    for one in five.impostors:
        assert len(one.counted) == sum(rate >= 1 / one.pairs for rate in five.rates)
        assert all(a <= b for a, b in pairwise(one.counted))
    draw(five, tmp_path / "det.png")
    with Image.open(tmp_path / "det.png") as picture:
        assert picture.format == "PNG" and picture.width > 600
        assert len(picture.convert("RGB").getcolors(1_000_000) or ()) > 50
    with pytest.raises(SightlineError, match="No such file"):
        draw(five, tmp_path / "nowhere" / "det.png")
