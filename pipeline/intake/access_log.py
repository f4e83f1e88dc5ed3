"""A line of an access log in the combined (or common) format, as named columns.

Format: the `LogFormat` that Apache calls "combined" and nginx writes by default. A field that is `-` is empty; bytes
that are `-` are 0: none were sent.
"""

from __future__ import annotations

import re

COLUMNS = ("host", "ident", "user", "time", "request", "method", "path", "query", "protocol", "status", "bytes",
           "referer", "agent")  # fmt: skip
_QUOTED = r'"(?P<{}>[^"\\]*(?:\\.[^"\\]*)*)"'
_LINE = re.compile(
    r"(?P<host>\S+) (?P<ident>\S+) (?P<user>.*?) \[(?P<time>[^\]]+)\] "
    + _QUOTED.format("request")
    + r" (?P<status>[0-9]{3}) (?P<bytes>[0-9]+|-)(?: "
    + _QUOTED.format("referer")
    + " "
    + _QUOTED.format("agent")
    + ")?",
    re.ASCII,
)


def columns_of(line: str) -> dict[str, str]:
    """The columns of a line. Raises ValueError where it is none of the format."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("is no line of the combined log format")
    row = {name: "" if value in (None, "-") else value for name, value in found.groupdict().items()}
    row["bytes"] = row["bytes"] or "0"
    method, _, rest = row["request"].partition(" ")
    target, _, protocol = rest.rpartition(" ")
    path, _, query = target.partition("?")
    return row | {"method": method, "path": path, "query": query, "protocol": protocol}
