"""How long a worker may write: no longer than its group counts it in.

Whoever was frozen for longer than the session (SIGSTOP, a paused machine) wakes up with a
decision in hand while another worker has its sites. Kafka fences the offsets that it commits, but
not what it writes. So nothing is written unless a heartbeat that was answered was sent less than
a session ago: the group gives nobody's partitions away earlier.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05


def boot_seconds() -> float:
    """A clock that goes on while the process, or the machine, is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The right to write; the thread of the heartbeats renews it, that of the work asks for it."""

    def __init__(
        self,
        seconds: float,
        end: Callable[[str], NoReturn],
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        """`seconds`: the session; `end`: ends the process, told why."""
        self._seconds = seconds
        self._end = end
        self._clock = clock
        self._renewed = -float("inf")

    def is_held(self) -> bool:
        """Whether nobody else can have this worker's partitions yet."""
        return self._clock() < self._renewed + self._seconds

    async def wait(self, patience: float) -> None:
        """Return as soon as it is held: at once, or when a heartbeat is answered.

        Nothing may be awaited between this and the write. Ends the process after `patience`
        seconds.
        """
        until = self._clock() + patience
        while not self.is_held():
            if self._clock() > until:
                self._end("the group has not answered")
            await asyncio.sleep(_LOOK_SECONDS)

    def follow(self, coordinator: Any) -> None:
        """Be renewed by the heartbeats of aiokafka's GroupCoordinator.

        It ends the process when the group has gone on without this worker. aiokafka would join
        again, and as a static member take its place back from whoever has it now.
        """
        beat, join = coordinator._do_heartbeat, coordinator._do_rejoin_group

        async def heartbeat() -> bool:
            sent, member = self._clock(), coordinator.member_id
            is_in = bool(await beat())
            if member and not coordinator.member_id:
                self._end("the group has gone on without this worker")
            # While the group is being put together anew a heartbeat is answered, and
            # partitions are given away all the same.
            if is_in and not coordinator._rejoin_needed_fut.done():
                self._renewed = max(self._renewed, sent)
            return is_in

        async def rejoin(subscription: Any) -> bool:
            joined = bool(await join(subscription))
            if joined:
                await heartbeat()  # the next one would be a while
            return joined

        coordinator._do_heartbeat, coordinator._do_rejoin_group = heartbeat, rejoin
