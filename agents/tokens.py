"""Bearer tokens of the HTTP server: made once, shown once, kept as hashes in a file that is replaced as a whole.

A file and not a table: usage is taken while ClickHouse is away. The secret is 256 random bits, so a plain SHA-256 of it
cannot be searched; words that people choose would need a slow hash, and are not accepted.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from agents.settings import Settings
from schemas.token import Scope, Token, TokenFile

PREFIX = "tally"


class TokenUnknown(Exception):
    """No token has this id or name."""


class TokenTaken(Exception):
    """A token has this name already."""


def place(settings: Settings) -> Path:
    """Where the tokens are kept: the setting, else beside the state of the local system."""
    from deploy.local.places import default_home

    return settings.tokens or (settings.home or default_home()) / "tokens.json"


class Tokens:
    """The file of tokens. Reading sees what another process has written since: a revocation counts at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._by_id: dict[str, Token] = {}

    def all(self) -> tuple[Token, ...]:
        """Every token that was not revoked, by age."""
        self._look()
        return tuple(self._by_id.values())

    def bearer(self, text: str, *, at: datetime) -> Token | None:
        """The token that a caller shows; None if it is unknown, revoked or expired."""
        self._look()
        prefix, _, rest = text.partition("_")
        identifier, _, secret = rest.partition("_")
        token = self._by_id.get(identifier)
        known = token.sha256 if token is not None else "0" * 64
        same = hmac.compare_digest(_hash(secret), known)  # also where there is no such id: both take as long
        if token is None or not same or prefix != PREFIX:
            return None
        return token if token.expires_at is None or at < token.expires_at else None

    def create(self, name: str, scope: Scope, *, at: datetime, expires_at: datetime | None = None) -> tuple[Token, str]:
        """A new token and its text, which is nowhere kept. Raises TokenTaken."""
        identifier, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        token = Token(id=identifier, name=name, sha256=_hash(secret), scope=scope, created_at=at, expires_at=expires_at)
        with self._changing() as tokens:
            if any(other.name == name for other in tokens):
                raise TokenTaken(f"a token has the name {name!r} already; revoke it first, or choose another")
            tokens.append(token)
        return token, f"{PREFIX}_{identifier}_{secret}"

    def revoke(self, name: str) -> Token:
        """Takes a token away, by its id or its name; it is refused from the next request on. Raises TokenUnknown."""
        with self._changing() as tokens:
            found = next((token for token in tokens if name in (token.id, token.name)), None)
            if found is None:
                raise TokenUnknown(f"no token has the id or the name {name!r}: tally tokens list")
            tokens.remove(found)
        return found

    def _look(self) -> None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._seen, self._by_id = None, {}
            return
        now = (stat.st_mtime_ns, stat.st_ino)
        if now != self._seen:
            kept = TokenFile.model_validate_json(self.path.read_bytes())
            self._seen, self._by_id = now, {token.id: token for token in kept.tokens}

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """The tokens to change; written as a whole when the block ends well. One process at a time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(self.path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tokens = list(self.all())
            yield tokens
            _write(self.path, TokenFile(tokens=tuple(tokens)))


def _write(path: Path, content: TokenFile) -> None:
    new = path.with_name(path.name + ".new")
    text = json.dumps(content.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
