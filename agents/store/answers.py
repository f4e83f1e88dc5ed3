"""Answers of ClickHouse arrive whole or not at all.

`http.client` takes the end of a connection for the end of the headers. ClickHouse sends its headers in parts; if it
dies between two of them, what arrives is `200 OK` without a length and without a body, and a client reads it as a
result without rows: no coverage, no usage, nothing owed. Headers that do not say where the body ends are refused.
Source: RFC 9112 §8 (incomplete messages).
"""

from __future__ import annotations

from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError


def _whole(answer: HTTPResponse) -> HTTPResponse:
    if not answer.chunked and answer.headers.get("content-length") is None:
        raise ProtocolError("the headers of the answer do not say where its body ends: they were cut")
    return answer


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        return _whole(super().getresponse())


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        return _whole(super().getresponse())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def whole_answers() -> PoolManager:
    """Connections for a ClickHouse client that believe no answer that was cut."""
    pool: PoolManager = get_pool_manager()
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pool
