"""How a service fares: whether its loops go on, and whether it serves.

A loop says `beat` whenever it comes round, be there work or not. One that has not for a while is
stuck, and only a new process helps. Who waits for Kafka or the database goes on beating, and is
not ready meanwhile: a restart would not help.
"""

from sightline.runtime.clock import Clock, SystemClock

MAIN = "main"
"""The loop that every service has."""

STARTING = "start"
"""What a service waits for before it serves for the first time."""

DATABASE = "database"
KAFKA = "kafka"


class Health:
    """Of one process; told by its loops, asked by its endpoint, from any thread."""

    def __init__(
        self, stuck_seconds: float = 60.0, start_seconds: float = 300.0, clock: Clock | None = None
    ) -> None:
        """A loop is stuck after `stuck_seconds` without a beat; the first may take
        `start_seconds`, as models have to be loaded before.
        """
        self._stuck_seconds = stuck_seconds
        self._start_seconds = start_seconds
        self._clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._beats: dict[str, float] = {}
        self._waits = {STARTING}

    def beat(self, loop: str = MAIN) -> None:
        """A loop has come round."""
        self._beats[loop] = self._clock.monotonic()

    def over(self, loop: str) -> None:
        """A loop has ended: nobody expects it to go on."""
        self._beats.pop(loop, None)

    def ready(self) -> None:
        """The service serves, as far as it waits for nothing else."""
        self._waits.discard(STARTING)

    def waits_for(self, what: str) -> None:
        """The service cannot serve until it has something."""
        self._waits.add(what)

    def has(self, what: str) -> None:
        """It waits for that no more."""
        self._waits.discard(what)

    def tell(self, what: str, is_there: bool) -> None:
        """Something that the service needs is there, or is waited for."""
        if is_there:
            self.has(what)
        else:
            self.waits_for(what)

    def ages(self) -> dict[str, float]:
        """Seconds since the last beat of each loop; of the start where there was none."""
        now = self._clock.monotonic()
        return {loop: now - at for loop, at in {MAIN: self._began, **self._beats}.items()}

    def stuck(self) -> list[str]:
        """The loops that do not go on."""
        limits = {} if MAIN in self._beats else {MAIN: self._start_seconds}
        return sorted(
            loop for loop, age in self.ages().items() if age > limits.get(loop, self._stuck_seconds)
        )

    def waiting(self) -> list[str]:
        """What the service waits for before it serves; nothing where it does."""
        return sorted(self._waits)
