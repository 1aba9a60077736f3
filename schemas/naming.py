"""Names of consumer groups and of what belongs to a run: built and parsed here alone."""

from collections.abc import Iterable

from schemas.topics import LIVE, OF_A_RUN, RUN_SUFFIX, Topic, in_run, of_run, vision_state


def vision_group(fleet: str, run: str) -> str:
    """Return the consumer group of a fleet's vision workers in a run."""
    return in_run(f"sightline-vision-{fleet}", run)


def match_group(run: str) -> str:
    """Return the consumer group of the matchers in a run."""
    return in_run("sightline-match", run)


def sink_group(sink: str, run: str) -> str:
    """Return the consumer group of a sink in a run."""
    return in_run(f"sightline-{sink}", run)


def run_topics(run: str, fleets: Iterable[str]) -> list[Topic]:
    """Return the topics that belong to a run over the frames of these fleets.

    Raises ValueError for the live run, whose topics belong to the installation.
    """
    _check_run(run)
    own = [*OF_A_RUN, *(vision_state(fleet) for fleet in fleets)]
    return [of_run(topic, run) for topic in own]


def run_groups(run: str, fleets: Iterable[str], sinks: Iterable[str]) -> frozenset[str]:
    """Return the consumer groups that work on a run over the frames of these fleets.

    Raises ValueError for the live run, whose groups belong to the installation.
    """
    _check_run(run)
    vision = (vision_group(fleet, run) for fleet in fleets)
    return frozenset({*vision, match_group(run), *(sink_group(sink, run) for sink in sinks)})


def is_of_run(name: str) -> bool:
    """Tell whether a topic or consumer group belongs to a run other than the live one."""
    return RUN_SUFFIX in name


def live_name(name: str) -> str:
    """Return the name that a topic of a run has in the live run."""
    return name.partition(RUN_SUFFIX)[0]


def checked_fleet(fleet: str) -> str:
    """Return the name of a fleet.

    Raises ValueError for one whose topics would read as those of a run.
    """
    if is_of_run(f".{fleet}"):  # as it stands in `frames.<fleet>`
        raise ValueError(
            f"{fleet[:64]!r} reads as the name of a run: choose one that neither begins with"
            f" {RUN_SUFFIX[1:]!r} nor has {RUN_SUFFIX!r} in it"
        )
    return fleet


def _check_run(run: str) -> None:
    if run == LIVE:
        raise ValueError("what is live belongs to no run")
