"""A real film with four people enrolled, against a truth made by hand: the real pipeline."""

from pathlib import Path

import pytest

from tests.support import benchmark_json

pytestmark = pytest.mark.e2e

_LOOP_EMBEDDINGS = 638
"""What `benchmarks.baseline` makes of this film: one for every face on every frame."""


def test_names_are_those_of_the_truth_and_nobody_elses(shared: Path) -> None:
    told = benchmark_json("stage_clip", "--no-loop")
    assert told["stage_clip_faces"] == 650
    assert told["stage_clip_agreement"] >= 0.95
    assert told["stage_clip_frames_agreement"] >= 0.95
    assert told["stage_clip_embeddings"] <= 0.08 * _LOOP_EMBEDDINGS
    assert set(told["stage_clip_names"]) - {"Barack Obama"} == {"Lin-Manuel Miranda"}

    # Half turned away: who he most likely is, and named only where that is safe.
    assert told["stage_clip_candidate"] == "Barack Obama"
    score, threshold = told["stage_clip_candidate_score"], told["stage_clip_candidate_threshold"]
    assert 0.3 < score < 0.6 and threshold > 0
    assert bool(told["stage_clip_candidate_named"]) == (score >= threshold)
