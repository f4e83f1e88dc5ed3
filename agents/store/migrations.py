"""Numbered SQL files, applied once and in order; a file that was applied may never change.

The files lie in `schemas/clickhouse`; the table `schema_migrations` holds what was applied, with checksums.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.settings import Settings
from agents.store.connection import Connection

FOLDER = Path(__file__).parents[2] / "schemas" / "clickhouse"


class HistoryEdited(Exception):
    """An applied migration file was changed or removed."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration and what happened to it."""

    migration: Migration
    status: Literal["present", "applied", "pending"]


def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """All files in order of their numbers; each number once."""
    found = [_read(file) for file in sorted(folder.glob("[0-9]*.sql"))]
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise HistoryEdited(f"migrations are numbered 0001, 0002, … without gaps; found {numbers}")
    return tuple(found)


def statements(text: str) -> tuple[str, ...]:
    """The statements of a file: split at semicolons that end a line, outside comments and string literals."""
    parts, begin, position = [], 0, 0
    token = re.compile(r"--[^\n]*|'(?:[^'\\]|\\.|'')*'|;")
    while match := token.search(text, position):
        position = match.end()
        if match.group() == ";":
            parts.append(text[begin : match.start()])
            begin = position
    parts.append(text[begin:])
    return tuple(part.strip() for part in parts if re.sub(r"--[^\n]*", "", part).strip())


def migrate(settings: Settings, *, dry_run: bool = False, folder: Path = FOLDER) -> tuple[Applied, ...]:
    """Applies what is not applied yet. Raises HistoryEdited before anything changes; StoreUnavailable, StoreRefused."""
    files = migrations(folder)
    server = Connection(settings, database="")
    exists = bool(server.tuples("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": settings.database}))
    if not exists and not dry_run:
        server.execute(f"CREATE DATABASE IF NOT EXISTS `{settings.database}`")
    server.close()
    if not exists and dry_run:
        return tuple(Applied(migration, "pending") for migration in files)
    database = Connection(settings)
    try:
        return _apply(database, files, dry_run=dry_run)
    finally:
        database.close()


def _apply(database: Connection, files: tuple[Migration, ...], *, dry_run: bool) -> tuple[Applied, ...]:
    if not dry_run:
        database.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number UInt32, name String, checksum String) "
            "ENGINE = ReplacingMergeTree ORDER BY number"
        )
    done = _done(database)
    by_number = {migration.number: migration for migration in files}
    for number, (name, checksum) in done.items():
        if number not in by_number:
            raise HistoryEdited(f"{name} was applied but its file is gone: bring it back")
        if by_number[number].checksum != checksum:
            raise HistoryEdited(f"{by_number[number].name} was changed after it was applied: restore it, add a new file")
    return tuple(_step(database, migration, migration.number in done, dry_run) for migration in files)


def _done(database: Connection) -> dict[int, tuple[str, str]]:
    if not database.tuples("SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"):
        return {}
    rows = database.tuples("SELECT number, name, checksum FROM schema_migrations FINAL")
    return {number: (name, checksum) for number, name, checksum in rows}


def _step(database: Connection, migration: Migration, done: bool, dry_run: bool) -> Applied:
    if done:
        return Applied(migration, "present")
    if dry_run:
        return Applied(migration, "pending")
    for statement in statements(migration.text):
        database.execute(statement)
    row = (migration.number, migration.name, migration.checksum)
    database.insert("schema_migrations", ("number", "name", "checksum"), [row])
    return Applied(migration, "applied")


def _read(file: Path) -> Migration:
    return Migration(int(file.name.split("_", 1)[0]), file.name, file.read_text(encoding="utf-8"))
