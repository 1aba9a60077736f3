"""Lease on writing: a worker writes only while its consumer group counts it in.

A worker that was frozen for longer than the session (SIGSTOP, a paused machine) wakes up with a
decision in hand while another worker has its sites. Kafka fences the offsets that it commits, but
not what it writes. So nothing is written unless a heartbeat that was answered was sent less than
a session ago: the group gives no partition away earlier.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05


def boot_seconds() -> float:
    """Return a clock that goes on while the process, or the machine, is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Right to write: renewed by the thread of the heartbeats, checked by that of the work."""

    def __init__(
        self,
        seconds: float,
        end: Callable[[str], NoReturn],
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        """Make a lease that is not held yet.

        Args:
            seconds: Session timeout of the group.
            end: Ends the process; called with the reason.
            clock: Monotonic seconds, which pass while the process is stopped.
        """
        self._seconds = seconds
        self._end = end
        self._clock = clock
        self._renewed_at = -float("inf")

    def is_held(self) -> bool:
        """Return whether no other worker can have this one's partitions yet."""
        return self._clock() < self._renewed_at + self._seconds

    async def wait(self, patience: float) -> None:
        """Return as soon as the lease is held: at once, or when a heartbeat is answered.

        Nothing may be awaited between this and the write. Ends the process after `patience`
        seconds.
        """
        until = self._clock() + patience
        while not self.is_held():
            if self._clock() > until:
                self._end("the group has not answered")
            await asyncio.sleep(_POLL_SECONDS)

    def follow(self, coordinator: Any) -> None:
        """Renew the lease with the heartbeats of aiokafka's GroupCoordinator.

        The process ends when the group has gone on without this worker. aiokafka would join
        again, and as a static member take its place back from the worker that has it now.
        """
        beat, join = coordinator._do_heartbeat, coordinator._do_rejoin_group

        async def heartbeat() -> bool:
            sent_at, member = self._clock(), coordinator.member_id
            is_member = bool(await beat())
            if member and not coordinator.member_id:
                self._end("the group has gone on without this worker")
            # During a rebalance a heartbeat is answered, and partitions are given away all
            # the same.
            if is_member and not coordinator._rejoin_needed_fut.done():
                self._renewed_at = max(self._renewed_at, sent_at)
            return is_member

        async def rejoin(subscription: Any) -> bool:
            has_joined = bool(await join(subscription))
            if has_joined:
                await heartbeat()  # the next regular one is a while away
            return has_joined

        coordinator._do_heartbeat, coordinator._do_rejoin_group = heartbeat, rejoin
