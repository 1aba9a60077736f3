"""Who may write, and until when: a clock and a group that the test moves."""

import asyncio
from typing import NoReturn

import pytest

from processors.match.faust_runtime.lease import Lease


class Ended(Exception):  # noqa: N818
    """In place of the end of the process."""


class Group:
    """What a lease sees of aiokafka's coordinator, and the group as the test wants it."""

    def __init__(self) -> None:
        self.member_id = "matcher"
        self.answers = True
        self.is_rebalancing = False
        self.has_gone_on = False
        self._rejoin_needed_fut = asyncio.get_running_loop().create_future()

    async def _do_heartbeat(self) -> bool:
        if self.has_gone_on:
            self.member_id = ""
            return False
        if self.is_rebalancing and not self._rejoin_needed_fut.done():
            self._rejoin_needed_fut.set_result(None)
        return self.answers

    async def _do_rejoin_group(self, _subscription: object) -> bool:
        self._rejoin_needed_fut = asyncio.get_running_loop().create_future()
        self.is_rebalancing = False
        return True


class World:
    """A lease of six seconds on a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.group = Group()
        self.lease = Lease(6.0, self._end, lambda: self.now)
        self.lease.follow(self.group)

    def _end(self, why: str) -> NoReturn:
        raise Ended(why)

    async def beat(self) -> None:
        await self.group._do_heartbeat()

    async def join(self) -> None:
        assert await self.group._do_rejoin_group(None)


def test_nobody_may_write_before_the_group_counts_them_in() -> None:
    async def check() -> None:
        world = World()
        assert not world.lease.is_held()
        await world.join()
        assert world.lease.is_held()

    asyncio.run(check())


def test_a_lease_ends_with_the_session_unless_a_heartbeat_is_answered() -> None:
    async def check() -> None:
        world = World()
        await world.join()
        world.now += 5
        await world.beat()
        world.now += 5
        assert world.lease.is_held()
        world.group.answers = False
        await world.beat()
        world.now += 1
        assert not world.lease.is_held()

    asyncio.run(check())


def test_a_heartbeat_counts_from_when_it_was_sent() -> None:
    async def check() -> None:
        world = World()
        answer = world.group._do_rejoin_group

        async def slow() -> bool:
            world.now += 4
            return True

        world.group._do_heartbeat = slow  # type: ignore[method-assign]
        world.lease.follow(world.group)
        assert await answer(None)
        await world.beat()
        world.now += 1.5
        assert world.lease.is_held()
        world.now += 1
        assert not world.lease.is_held()

    asyncio.run(check())


def test_while_the_group_is_put_together_anew_a_heartbeat_renews_nothing() -> None:
    async def check() -> None:
        world = World()
        await world.join()
        world.group.is_rebalancing = True
        world.now += 5
        await world.beat()
        world.now += 2
        assert not world.lease.is_held()
        await world.join()
        assert world.lease.is_held()

    asyncio.run(check())


def test_who_was_left_behind_ends_at_once() -> None:
    async def check() -> None:
        world = World()
        await world.join()
        world.group.has_gone_on = True
        with pytest.raises(Ended, match="gone on"):
            await world.beat()

    asyncio.run(check())


def test_a_write_waits_for_the_group_and_no_longer_than_it_has_patience() -> None:
    async def check() -> None:
        world = World()
        await world.join()
        await world.lease.wait(30)
        world.now += 7
        waiting = asyncio.create_task(world.lease.wait(30))
        await asyncio.sleep(0)
        assert not waiting.done()
        await world.beat()
        await asyncio.wait_for(waiting, 5)
        world.now += 7
        waiting = asyncio.create_task(world.lease.wait(30))
        await asyncio.sleep(0)
        world.now += 31
        with pytest.raises(Ended, match="not answered"):
            await asyncio.wait_for(waiting, 5)

    asyncio.run(check())
