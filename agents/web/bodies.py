"""Bodies of requests: read to their end within limits of size and time, decompressed without trust."""

from __future__ import annotations

import asyncio
import zlib
from http import HTTPStatus

from fastapi import Request

from agents.web.problems import Problem

GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Room:
    """Bytes of bodies that may be held at once, by all requests together."""

    def __init__(self, limit: int) -> None:
        self._limit, self.held = limit, 0

    def take(self, size: int) -> None:
        """Takes room. Raises Problem where there is none."""
        if self.held + size > self._limit:
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", f"{self.held:,} bytes of requests are being read",
                          retry_after_s=1)  # fmt: skip
        self.held += size

    def give(self, size: int) -> None:
        """Gives it back."""
        self.held -= size


class Body:
    """The body of one request; holds its room until the block ends."""

    def __init__(self, request: Request, room: Room, *, limit: int, within_s: float) -> None:
        self._request, self._room, self._limit, self._within_s = request, room, limit, within_s
        self._held = 0

    async def __aenter__(self) -> bytes:
        try:
            async with asyncio.timeout(self._within_s):
                return await self._read()
        except TimeoutError:
            self._give()
            raise Problem(
                HTTPStatus.REQUEST_TIMEOUT, "too-slow", f"the body did not come within {self._within_s:.0f} s"
            ) from None
        except BaseException:
            self._give()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give()

    def _take(self, size: int) -> None:
        if self._held + size > self._limit:
            raise self._too_large()
        self._room.take(size)
        self._held += size

    def _give(self) -> None:
        self._room.give(self._held)
        self._held = 0

    def _too_large(self) -> Problem:
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large",
            f"a body may have {self._limit:,} bytes, also after decompression; send smaller batches",
        )  # fmt: skip

    async def _read(self) -> bytes:
        declared = self._request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._limit:
            raise self._too_large()
        encoding = self._request.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip"):
            return await self._unzipped()
        if encoding not in ("identity", ""):
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding",
                f"content-encoding {encoding[:50]!r} is not understood; send gzip, or none",
            )  # fmt: skip
        parts = []
        async for part in self._request.stream():
            self._take(len(part))
            parts.append(part)
        return b"".join(parts)

    async def _unzipped(self) -> bytes:
        """What gzip holds; never more than the limit is unpacked, however small the parcel."""
        unpacking = zlib.decompressobj(GZIP_WINDOW)
        parts = []
        try:
            async for part in self._request.stream():
                unpacked = unpacking.decompress(part, self._limit - self._held + 1)
                self._take(len(unpacked))
                parts.append(unpacked)
        except zlib.error as error:
            raise Problem(HTTPStatus.BAD_REQUEST, "unreadable", f"the body is no gzip: {error}") from None
        if not unpacking.eof or unpacking.unused_data:
            raise Problem(HTTPStatus.BAD_REQUEST, "unreadable", "the body is not one whole gzip member")
        return b"".join(parts)
