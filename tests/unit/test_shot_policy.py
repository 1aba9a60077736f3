"""When a face is looked for, and when a track is left alone: by capture time alone."""

from itertools import pairwise

from sightline.models.observation_policy import ObservationPolicy, ObservationState
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings.groups import EvidenceSettings

SETTINGS = EvidenceSettings(observations=3, interval_seconds=0.5, reverify_seconds=300)
POLICY = ObservationPolicy(SETTINGS)
START = 1_700_000_000 * US_PER_SECOND


def seconds(value: float) -> int:
    return START + round(value * US_PER_SECOND)


def test_shots_are_spaced_and_enough_of_them_settle_the_track() -> None:
    state = ObservationState()
    taken = []
    for frame in range(100):
        at = seconds(frame * 0.04)
        if not POLICY.is_settled(state, at) and POLICY.is_due(state, at):
            POLICY.record_observation(state, at, 0.8)
            taken.append(frame * 0.04)
    assert taken == [0.0, 0.52, 1.04]
    assert state.observations == 3


def test_a_settled_track_is_looked_at_again_after_its_time_in_the_next_epoch() -> None:
    state = ObservationState()
    for second in range(3):
        POLICY.record_observation(state, seconds(second), 0.8)
    assert POLICY.is_settled(state, seconds(301.9))
    assert state.epoch == 0
    assert not POLICY.is_settled(state, seconds(302))
    assert (state.epoch, state.observations, state.total_observations) == (1, 0, 3)
    assert POLICY.is_due(state, seconds(302))
    assert POLICY.record_observation(state, seconds(302), 0.1), (
        "a new epoch has a snapshot of its own"
    )


def test_a_back_of_a_head_costs_less_and_less_but_is_looked_at_every_second() -> None:
    state = ObservationState()
    looks = []
    for frame in range(250):
        at = seconds(frame * 0.04)
        if POLICY.is_due(state, at):
            POLICY.record_miss(state, at)
            looks.append(frame * 0.04)
    pauses = [later - sooner for sooner, later in pairwise(looks)]
    assert len(looks) < 20
    assert pauses == sorted(pauses)
    assert max(pauses) < 1.05


def test_a_face_seen_again_is_looked_at_soon() -> None:
    state = ObservationState()
    for second in range(10):
        POLICY.record_miss(state, seconds(second))
    POLICY.record_observation(state, seconds(20), 0.5)
    POLICY.record_miss(state, seconds(21))
    assert POLICY.is_due(state, seconds(21.1))


def test_a_face_that_was_refused_is_looked_at_as_often_as_shots_are_taken() -> None:
    state = ObservationState()
    for second in range(10):
        POLICY.record_miss(state, seconds(second), refused=True)
    assert not POLICY.is_due(state, seconds(9.4))
    assert POLICY.is_due(state, seconds(9.5))


def test_only_a_clearly_better_shot_is_a_new_snapshot() -> None:
    state = ObservationState()
    best = [
        POLICY.record_observation(state, seconds(at), quality)
        for at, quality in enumerate((0.5, 0.52, 0.7))
    ]
    assert best == [True, False, True]
