"""Tokens: shown once, kept as hashes, gone at once when they are revoked."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.tokens import Tokens, TokenTaken, TokenUnknown
from schemas.token import EVERYTHING, Scope

NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)
SCOPE = Scope(subjects=("acme",), sources=("/acme",))


def test_who_shows_a_token_has_its_scope_and_the_file_has_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    token, text = Tokens(file).create("eu-1", SCOPE, at=NOW)
    assert Tokens(file).bearer(text, at=NOW) == token
    assert token.scope == SCOPE
    secret = text.split("_", 2)[2]
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text[:-1], lambda text: text + "A", lambda text: "x" + text]
)
def test_a_token_that_is_not_exactly_it_is_nobodys(tmp_path: Path, change: object) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    _, text = tokens.create("eu-1", SCOPE, at=NOW)
    assert callable(change)
    assert tokens.bearer(change(text), at=NOW) is None
    assert tokens.bearer("", at=NOW) is None


def test_the_secret_of_one_token_does_not_open_another(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    mine, text = tokens.create("mine", SCOPE, at=NOW)
    other, _ = tokens.create("other", EVERYTHING, at=NOW)
    assert tokens.bearer(text.replace(mine.id, other.id), at=NOW) is None


def test_a_token_ends_when_it_expires_and_when_it_is_revoked_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    serving = Tokens(file)
    ends = NOW + timedelta(days=1)
    _, text = Tokens(file).create("eu-1", SCOPE, at=NOW, expires_at=ends)
    assert serving.bearer(text, at=ends - timedelta(microseconds=1)) is not None
    assert serving.bearer(text, at=ends) is None
    assert Tokens(file).revoke("eu-1").name == "eu-1"
    assert serving.bearer(text, at=NOW) is None


def test_names_are_unique_and_an_unknown_one_is_said_to_be(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    token, _ = tokens.create("eu-1", SCOPE, at=NOW)
    with pytest.raises(TokenTaken, match="'eu-1'"):
        tokens.create("eu-1", SCOPE, at=NOW)
    with pytest.raises(TokenUnknown, match="'eu-2'"):
        tokens.revoke("eu-2")
    assert tokens.revoke(token.id) == token
    assert tokens.all() == ()
