"""Between the workers and ClickHouse: a TCP proxy on loopback that can fail and delay on demand.

A failing answer is cut after the server did its work: the worker sees a broken insert, the store has the rows. That is
the worst case; a refused connection is the mildest, and both are drawn.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK = 64 * 1024


class Proxy:
    """Forwards every connection to the server. Use as an async context manager."""

    def __init__(self, server: str, rnd: random.Random) -> None:
        address = urlsplit(server)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 8123
        self._rnd = rnd
        self.cut = 0.0
        """How probable it is that an answer, or a new connection, is cut."""
        self.delay_s = 0.0
        """How long an answer is held back at most."""
        self.cuts = self.delays = 0
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._listening.wait_closed()

    @property
    def address(self) -> str:
        """Where workers find it."""
        return f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if not self._cuts():
                await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the server is away, or one of the two left: the other side sees it; or the proxy is at its end
        finally:
            self._open.discard(task)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        ways = [asyncio.create_task(_pump(reader, to_server)), asyncio.create_task(self._answer(from_server, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self.delay_s:
                self.delays += 1
                await asyncio.sleep(self._rnd.random() * self.delay_s)
            if self._cuts():
                return
            writer.write(chunk)
            await writer.drain()

    def _cuts(self) -> bool:
        cut = self._rnd.random() < self.cut
        self.cuts += cut
        return cut


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        with suppress(ConnectionError):
            await writer.drain()
