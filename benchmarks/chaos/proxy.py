"""TCP proxies between services and infrastructure, whose connections can be cut."""

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
    """A proxy from one port to another, used by the proxies' own event loop alone."""

    port: int
    target: int
    refuses: bool = False
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    """If not set, connections stay open without data, as behind a dead switch."""
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self) -> asyncio.Server:
        """Listen on the port."""
        self.flows.set()
        return await asyncio.start_server(self._accept, LOOPBACK, self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            upstream = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, upstream[1]}
        self.writers |= ends
        try:
            directions = ((reader, upstream[1]), (upstream[0], writer))
            pumps = [asyncio.ensure_future(self._pump(*direction)) for direction in directions]
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
        """Reset every connection; return their number."""
        ends = list(self.writers)
        for end in ends:
            end.transport.abort()
        return len(ends) // 2

    async def set(self, *, refuses: bool = False, flows: bool = True) -> None:
        """Set whether connections are refused, and whether data flows."""
        self.refuses = refuses
        if flows:
            self.flows.set()
        else:
            self.flows.clear()


class Proxies:
    """A thread that runs proxies."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def between(self, routes: Sequence[tuple[int, int]]) -> list[Proxy]:
        """Start a proxy for each (port, target)."""
        return [self._wait_for(self._start(port, target)) for port, target in routes]

    async def _start(self, port: int, target: int) -> Proxy:
        proxy = Proxy(port, target)
        await proxy.serve()
        return proxy

    def cut(self, proxy: Proxy) -> int:
        """Reset every connection of a proxy; new ones may be made at once."""
        return self._wait_for(proxy.cut())

    def refuse(self, proxy: Proxy, *, refuses: bool) -> None:
        """Reset every connection and refuse new ones, or accept them again."""
        self._wait_for(proxy.set(refuses=refuses))
        if refuses:
            self._wait_for(proxy.cut())

    def silence(self, proxy: Proxy, *, silent: bool) -> None:
        """Hold all data back without closing connections, or let it through again."""
        self._wait_for(proxy.set(flows=not silent))

    def close(self) -> None:
        """Stop the thread and close all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)
