"""A TCP proxy whose connections can be cut: it stands between services and what they need."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sightline.runtime.connection_urls import LOOPBACK

T = TypeVar("T")

_CHUNK = 1 << 16
_PATIENCE_SECONDS = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False, slots=True)
class Proxy:
    """One listening port that leads to another. Only the proxies' own loop touches it."""

    port: int
    target: int
    refuses: bool = False
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    """Not set: connections stay, nothing comes through them, as behind a dead switch."""
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self) -> asyncio.Server:
        """Listen."""
        self.flows.set()
        return await asyncio.start_server(self._accept, LOOPBACK, self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, there[1]}
        self.writers |= ends
        try:
            ways = ((reader, there[1]), (there[0], writer))
            pumps = [asyncio.ensure_future(self._pump(*way)) for way in ways]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self.writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()

    async def cut(self) -> int:
        """Reset every connection; how many there were."""
        ends = list(self.writers)
        for end in ends:
            end.transport.abort()
        return len(ends) // 2

    async def set(self, *, refuses: bool = False, flows: bool = True) -> None:
        """How it behaves from now on."""
        self.refuses = refuses
        if flows:
            self.flows.set()
        else:
            self.flows.clear()


class Proxies:
    """Proxies in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def between(self, ways: Sequence[tuple[int, int]]) -> list[Proxy]:
        """A proxy for each (port, target)."""
        return [self._ask(self._start(port, target)) for port, target in ways]

    async def _start(self, port: int, target: int) -> Proxy:
        proxy = Proxy(port, target)
        await proxy.serve()
        return proxy

    def cut(self, proxy: Proxy) -> int:
        """Reset every connection of a proxy; new ones may be made at once."""
        return self._ask(proxy.cut())

    def refuse(self, proxy: Proxy, *, refuses: bool) -> None:
        """Reset every connection, and every new one, or let them be made again."""
        self._ask(proxy.set(refuses=refuses))
        if refuses:
            self._ask(proxy.cut())

    def silence(self, proxy: Proxy, *, silent: bool) -> None:
        """Let nothing through, without a word to either end, or let it through again."""
        self._ask(proxy.set(flows=not silent))

    def close(self) -> None:
        """Stop; connections end with it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)
