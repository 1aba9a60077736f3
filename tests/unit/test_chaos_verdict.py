"""What the chaos benchmark deals, compares and measures: its own arithmetic."""

from benchmarks.chaos.compare import compare
from benchmarks.chaos.outcome import Key, Outcome
from benchmarks.chaos.plan import FULL, KILL, SCALE, TERM, WORKERS, deal, group_of
from benchmarks.chaos.recovery import Recovery, recover
from benchmarks.chaos.report import Findings
from benchmarks.chaos.services import Start
from benchmarks.chaos.watch import Look, Series


def test_a_seed_deals_the_same_faults_once_more() -> None:
    one, other, third = (deal(seed, 100, 6.6, brokers=3, disks=True) for seed in (7, 7, 8))
    assert one == other
    assert one != third


def test_everything_is_hit_and_nobody_twice_before_they_have_rested() -> None:
    dealt = deal(7, 100, 6.6, brokers=3, disks=True)
    assert len(dealt) == 100
    assert {f"{service}-1" for service in WORKERS} <= {fault.target for fault in dealt}
    assert {"broker-1", "broker-2", "broker-3", "database"} <= {fault.target for fault in dealt}
    assert {FULL, SCALE} <= {fault.how for fault in dealt}
    over: dict[str, float] = {}
    for fault in dealt:
        group = group_of(fault.target, fault.how)
        assert fault.at >= over.get(group, 0.0) + (5.0 if group in over else 0.0)
        over[group] = fault.at + fault.seconds


def outcome(rows: dict[Key, list[str]]) -> Outcome:
    return Outcome({"access_logs": rows})


def test_what_is_lost_doubled_and_different_is_told_apart() -> None:
    calm = outcome({("a",): ['{"name": "Ana"}'], ("b",): ['{"name": "Ben"}'], ("c",): ["{}"]})
    hit = outcome({("a",): ['{"name": "Eva"}'], ("c",): ["{}", "{}"], ("d",): ["{}"]})
    (found,) = compare(calm, hit)
    assert (found.there, found.lost, found.doubled, found.differing) == (3, 1, 2, 1)
    assert found.examples[0] == "a: name 'Ana' -> 'Eva'"


def test_equal_outcomes_do_not_differ() -> None:
    rows: dict[Key, list[str]] = {("a",): ["1", "2"]}
    assert [one.bad for one in compare(outcome(rows), outcome({("a",): ["2", "1"]}))] == [0]


def looks(*values: tuple[float, int]) -> Series:
    return [Look(at, at + 0.05, value) for at, value in values]


START = Start("match-1", KILL, died_at=10.0, started_at=10.3)


def test_a_recovery_is_from_the_start_to_the_first_output_after_it() -> None:
    series = {
        "out": looks((9.8, 5), (10.2, 6), (10.4, 7), (11.0, 7), (12.0, 8)),
        "in": looks((9.9, 20), (10.5, 21)),
    }
    found = recover(START, ["out"], ["in"], series, [], 60.0)
    assert found is not None
    assert found.seconds is not None
    assert round(found.seconds, 2) == 1.75
    assert not found.outage


def test_who_had_no_work_or_died_again_says_nothing() -> None:
    idle = {"out": looks((10.4, 7), (30.0, 8)), "in": looks((9.9, 20), (10.5, 20))}
    assert recover(START, ["out"], ["in"], idle, [], 60.0) is None
    again = {"out": looks((10.4, 7), (30.0, 8))}
    assert recover(START, ["out"], [], again, [], 20.0) is None


def test_a_recovery_while_the_database_is_away_is_told_apart() -> None:
    series = {"out": looks((10.4, 7), (12.0, 8))}
    found = recover(START, ["out"], [], series, [("database", 11.0, 15.0)], 60.0)
    assert found is not None
    assert found.outage


def findings(*seconds: float) -> Findings:
    recoveries = [Recovery("match-1", TERM, one, outage=False) for one in seconds]
    return Findings(7, [], [], recoveries, [], [], {}, 0)


def test_restarts_are_judged_by_their_95th_percentile_where_there_are_enough() -> None:
    quick = [1.0 + number / 20 for number in range(20)]
    assert findings(*quick).failures() == []
    assert findings(*quick, 3.5, 3.5).failures() == ["p95 after SIGTERM is over 3 s"]
    assert "9 restarts after SIGTERM say nothing of their p95" in findings(*[9.0] * 9).unjudged()
