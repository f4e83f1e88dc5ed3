"""Numbered SQL files, each applied once and forward only; a file that was applied is never edited.

ClickHouse runs each statement by itself, not a file as a whole. So every statement is written down twice, before
(`begun`) and after (`done`): a run that was killed goes on at the statement it stopped at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from agents.settings import Settings
from agents.store.connection import Connection, StoreRefused

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
TABLE_EXISTS = 57
LIST_BYTES = 4 * 1024 * 1024  # a hundred thousand ids
# What may hold a semicolon that ends nothing: comments, quoted text and names, here-documents.
OPAQUE = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`\\]|\\.|``)*`|\$(\w*)\$.*?\$\1\$|(;)",
    re.DOTALL,
)
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
HISTORY_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  number UInt32,
  statement UInt32 COMMENT 'within the file, from 1',
  name String,
  checksum String COMMENT 'SHA-256 of the whole file',
  done UInt8 COMMENT '0 begun, 1 done',
  at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree(done)
ORDER BY (number, statement)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""
HISTORY = "SELECT number, statement, name, checksum, done FROM schema_migrations FINAL ORDER BY number, statement"


class MigrationInvalid(Exception):
    """A migration file is misnamed, missing from the sequence or cannot be split into statements."""


class HistoryEdited(Exception):
    """What was applied to the database is not what the files say: a file was edited, renamed or removed."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.number:04d}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hex: one changed character is another migration."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements of the file, in order. Raises `MigrationInvalid`."""
        try:
            return split(self.sql)
        except ValueError as error:
            raise MigrationInvalid(f"{self.file}: {error}") from error


@dataclass(frozen=True, slots=True)
class Applied:
    """One statement of the history, as the database remembers it."""

    number: int
    statement: int
    name: str
    checksum: str
    done: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A statement still to be run; `resumed` if an earlier run began it and may have finished it."""

    migration: Migration
    statement: int
    sql: str
    resumed: bool


def split(sql: str) -> tuple[str, ...]:
    """The statements of a text, without their semicolons; comments and quoted text may hold semicolons.

    Text that is only comments is no statement. Raises `ValueError` on a quote or comment without an end.
    """
    statements, start, rest = [], 0, ""
    position = 0
    for match in OPAQUE.finditer(sql):
        rest += sql[position : match.start()]
        position = match.end()
        if match.group(2):
            statements.append(sql[start : match.start()])
            start = match.end()
    rest += sql[position:]
    if stray := re.search(r"['\"`]|/\*", rest):
        raise ValueError(f"{stray.group()} without an end")
    statements.append(sql[start:])
    return tuple(statement.strip() for statement in statements if COMMENT.sub("", statement).strip())


def available(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """The migrations that ship with this version, in order. Raises `MigrationInvalid` on a gap or a stray file."""
    folder = folder or files("schemas") / "clickhouse"
    found: list[Migration] = []
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".sql"):
            match = FILE_NAME.fullmatch(entry.name)
            if match is None:
                raise MigrationInvalid(f"{entry.name}: a migration is named NNNN_what_it_does.sql")
            found.append(Migration(int(match.group(1)), match.group(2), entry.read_text(encoding="utf-8")))
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationInvalid(f"{migration.file}: expected number {expected:04d}; numbers have no gaps or copies")
    return tuple(found)


def pending(migrations: Sequence[Migration], history: Sequence[Applied]) -> tuple[Step, ...]:
    """The statements still to be run. Raises `HistoryEdited` where files and history disagree."""
    by_number = {migration.number: migration for migration in migrations}
    for applied in history:
        _agree(by_number.get(applied.number), applied)
    done = {(applied.number, applied.statement) for applied in history if applied.done}
    begun = {(applied.number, applied.statement) for applied in history}
    return tuple(
        Step(migration, statement, sql, resumed=(migration.number, statement) in begun)
        for migration in migrations
        for statement, sql in enumerate(migration.statements, start=1)
        if (migration.number, statement) not in done
    )


def _agree(migration: Migration | None, applied: Applied) -> None:
    name = f"{applied.number:04d}_{applied.name}.sql"
    if migration is None:
        raise HistoryEdited(
            f"{name} was applied to this database but is not among the files: newer version or removed?"
        )
    if migration.name != applied.name:
        raise HistoryEdited(f"{name} was applied to this database; the file is now named {migration.file}")
    if migration.checksum != applied.checksum:
        raise HistoryEdited(
            f"{name} was edited after it was applied (applied {applied.checksum[:12]}, file {migration.checksum[:12]}):"
            " restore it and put the change into a new migration"
        )


def migrate(settings: Settings, *, dry_run: bool = False) -> tuple[Step, ...]:
    """Creates the database if need be and runs what is pending; returns the statements run (or, dry, to be run).

    Raises `HistoryEdited`, `MigrationInvalid`, `StoreUnavailable`, and `StoreRefused` when a statement fails.
    """
    migrations = available()
    connection = Connection(settings, database="default")
    try:
        if dry_run and not _exists(connection, settings.database):
            return pending(migrations, ())
        if not dry_run:
            connection.execute(f"CREATE DATABASE IF NOT EXISTS {_quoted(settings.database)}")
    finally:
        connection.close()
    connection = Connection(settings)
    try:
        takes_long_lists(connection)
        steps = pending(migrations, _history(connection, dry_run=dry_run))
        for step in () if dry_run else steps:
            _run(connection, step)
        return steps
    finally:
        connection.close()


def takes_long_lists(connection: Connection) -> None:
    """Raises `StoreRefused` if the server takes short lists only: a close asks about all of its customers at once."""
    try:
        connection.tuples("SELECT length({list:String})", {"list": "," * LIST_BYTES})
    except StoreRefused as error:
        raise StoreRefused(
            f"{error} Set http_max_field_value_size in the server's default profile, as deploy/clickhouse/profile.xml "
            "does: a close asks about all of its customers at once."
        ) from error


def _exists(connection: Connection, database: str) -> bool:
    return bool(connection.tuples("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": database}))


def _history(connection: Connection, *, dry_run: bool) -> tuple[Applied, ...]:
    if not dry_run:
        connection.execute(HISTORY_TABLE)
    elif not connection.tuples("EXISTS TABLE schema_migrations")[0][0]:
        return ()
    return tuple(
        Applied(number, statement, name, checksum, bool(done))
        for number, statement, name, checksum, done in connection.tuples(HISTORY)
    )


def _run(connection: Connection, step: Step) -> None:
    _remember(connection, step, done=False)
    try:
        connection.execute(step.sql)
    except StoreRefused as error:
        finished_before = step.resumed and getattr(error.__cause__, "code", None) == TABLE_EXISTS
        if not finished_before:
            raise StoreRefused(f"{step.migration.file}, statement {step.statement}: {error}") from error
    _remember(connection, step, done=True)


def _remember(connection: Connection, step: Step, *, done: bool) -> None:
    migration = step.migration
    row = (migration.number, step.statement, migration.name, migration.checksum, int(done))
    connection.insert("schema_migrations", ("number", "statement", "name", "checksum", "done"), [row])


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
