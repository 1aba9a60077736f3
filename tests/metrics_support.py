"""What running services show, read as Prometheus reads it."""

from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from sightline.runtime.service_discovery import Target, targets

Labels = dict[str, str]


def processes(home: Path, service: str, fleet: str | None = None) -> list[Target]:
    """The processes of a service that live."""
    return [one for one in targets(home) if one.service == service and fleet in (None, one.fleet)]


def is_ready(address: str) -> bool:
    """Whether a process serves, by its metrics' address."""
    try:
        with urlopen(f"http://{address}/readyz", timeout=10):
            return True
    except OSError:
        return False


def shown(target: Target, name: str, **labels: str) -> list[tuple[Labels, float]]:
    """The samples of a name that a process shows, of those that have these labels."""
    with urlopen(f"http://{target.address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def total(found: list[Target], name: str, **labels: str) -> float:
    """The sum over processes."""
    return sum(value for target in found for _, value in shown(target, name, **labels))
