"""The views that readers may rely on, as the database has them: names, types, comments.

The contract is `schemas/views.json`. Its version rises with a change that a reader could notice.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from agents.store.connection import Connection

COLUMNS = """
SELECT table, name, type, comment FROM system.columns
WHERE database = currentDatabase() AND startsWith(table, 'v_') ORDER BY table, position
"""
VIEWS = """
SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'v_') ORDER BY name
"""


def contract() -> dict[str, Any]:
    """The contract that ships with this version."""
    found: dict[str, Any] = json.loads((files("schemas") / "views.json").read_text(encoding="utf-8"))
    return found


def views(connection: Connection) -> dict[str, Any]:
    """View -> what it says of itself, and its columns in order."""
    found: dict[str, Any] = {name: {"comment": comment, "columns": []} for name, comment in connection.tuples(VIEWS)}
    for table, name, kind, comment in connection.tuples(COLUMNS):
        found[table]["columns"].append({"name": name, "type": kind, "comment": comment})
    return found


def export(connection: Connection, file: Path) -> Path:
    """Writes the contract as the database has it; the version rises if a view changed."""
    found, held = views(connection), contract()
    version = held["version"] + (found != held["views"])
    text = json.dumps({"version": version, "views": found}, indent=2, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8")
    return file
