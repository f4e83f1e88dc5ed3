"""One ClickHouse connection, its failures sorted: a store that is away may be asked again, a wrong query may not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from agents.settings import Settings
from agents.store.answers import whole_answers

Row = TypeVar("Row")
QUERIES = Path(__file__).parent / "queries"

# Error codes by which a server says "later", not "never": memory, too many parts or queries, timeouts, shutting down.
TRANSIENT = frozenset({159, 164, 202, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 999})


class StoreUnavailable(Exception):
    """ClickHouse cannot be reached or asks to wait: retry within limits, then stop. Nothing was decided."""


class StoreRefused(Exception):
    """ClickHouse understood and refused: our query or our rows are wrong. Retrying cannot help."""


@cache
def query_text(name: str) -> str:
    """The text of `queries/<name>.sql`: one file per question."""
    return (QUERIES / f"{name}.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Work:
    """What a query is for: it stands in the server's log of queries, which says what it cost."""

    kind: str
    meters: tuple[tuple[str, str], ...]
    """Names and versions; what a query for several cost is shared equally."""


def _tag(work: Work | None) -> dict[str, object]:
    if work is None:
        return {}
    comment = json.dumps({"tally": work.kind, "meters": work.meters}, separators=(",", ":"))
    return {"log_queries": 1, "log_queries_min_type": "QUERY_FINISH", "log_comment": comment}


class Connection:
    """A synchronous connection; not shared between threads that run at the same time.

    Inserts are synchronous and never deduplicated by block: rows are idempotent by their keys instead.
    """

    def __init__(self, settings: Settings, *, database: str | None = None) -> None:
        self._settings = settings
        self._database = settings.database if database is None else database
        self._client: Any = None
        self._pool = whole_answers()
        self._types: dict[str, dict[str, Any]] = {}

    def _open(self) -> Any:
        if self._client is None:
            address = urlsplit(self._settings.clickhouse)
            try:
                self._client = clickhouse_connect.get_client(
                    host=address.hostname,
                    port=address.port or (8443 if address.scheme == "https" else 8123),
                    secure=address.scheme == "https",
                    username=self._settings.clickhouse_user,
                    password=self._settings.clickhouse_password,
                    database=self._database,
                    autogenerate_session_id=False,
                    compress=False,
                    form_encode_query_params=True,
                    connect_timeout=5,
                    send_receive_timeout=300,
                    tz_mode="aware",
                    pool_mgr=self._pool,
                    settings={
                        "async_insert": 0,
                        "optimize_on_insert": 0,
                        "deduplicate_insert": "disable",
                        "do_not_merge_across_partitions_select_final": 1,
                        "session_timezone": "UTC",
                        "max_partitions_per_insert_block": 0,
                    },
                )
            except (OperationalError, DatabaseError) as error:
                raise _sorted(error, self._settings.clickhouse) from error
        return self._client

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Rows of a query as dictionaries; values are bound by the server (`{name:Type}`)."""
        return self._read(sql, parameters, lambda answer: list(answer.named_results()))

    def tuples(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, work: Work | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows of a query as tuples."""
        return self._read(sql, parameters, lambda answer: list(answer.result_rows), work)

    def execute(self, sql: str, parameters: Mapping[str, object] | None = None, *, work: Work | None = None) -> None:
        """Runs a statement without a result: DDL or INSERT … SELECT."""
        self._call("command", sql, parameters=dict(parameters or {}), settings=_tag(work))

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Inserts rows; returns only once the server has stored them."""
        if not rows:
            return
        types = [self._type(table, column) for column in columns]
        try:
            self._call("insert", table, rows, column_names=list(columns), column_types=types)
        except StoreRefused:
            self._types.pop(table)  # the table may have been changed
            raise

    def _type(self, table: str, column: str) -> Any:
        """The type of a column; asked once per table, where the client would ask before every insert."""
        if column not in self._types.get(table, {}):
            described = self.tuples(f"DESCRIBE TABLE {table}")
            self._types[table] = {row[0]: get_from_name(row[1]) for row in described}
        return self._types[table][column]

    def insert_native(self, table: str, columns: Sequence[str], block: bytes) -> None:
        """Inserts a block in ClickHouse's Native format; returns only once the server has stored it."""
        self._call("raw_insert", table, column_names=list(columns), insert_block=block, fmt="Native")

    def close(self) -> None:
        """Closes the connection; a later call opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self._pool.clear()

    def _read(
        self,
        sql: str,
        parameters: Mapping[str, object] | None,
        rows: Callable[[Any], list[Row]],
        work: Work | None = None,
    ) -> list[Row]:
        answer = self._call("query", sql, parameters=dict(parameters or {}), settings=_tag(work))
        try:
            return rows(answer)  # an answer is read as it comes: the server may go in the middle of it
        except (OperationalError, DatabaseError) as error:
            raise _sorted(error, self._settings.clickhouse) from error

    def _call(self, method: str, *arguments: object, **named: object) -> Any:
        try:
            return getattr(self._open(), method)(*arguments, **named)
        except (OperationalError, DatabaseError) as error:
            raise _sorted(error, self._settings.clickhouse) from error


def _sorted(error: Exception, address: str) -> Exception:
    code = getattr(error, "code", None)
    if isinstance(error, OperationalError) or code in TRANSIENT:
        return StoreUnavailable(f"ClickHouse at {address}: {error}")
    return StoreRefused(f"ClickHouse at {address}: {error}")
