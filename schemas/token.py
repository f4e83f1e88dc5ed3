"""Who may send usage over HTTP, and whose: a bearer token, kept as a hash, with its scope."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=200)]
Prefix = Annotated[str, Field(min_length=1, max_length=1000)]
ANYTHING = "*"
ID_TEXT = re.compile(r"[0-9a-f]{12}")


class Scope(BaseModel):
    """What the bearer of a token may send.

    A prefix `acme` covers the name `acme` and all below `acme/`; one that ends in `*` covers every name that begins
    with what stands before it, and `*` alone is everything. An event is covered if its subject is covered by
    `subjects`, or belongs to one of `customers`, and its source by `sources`: identities are (source, id), so who may
    write under another's source could use up another's ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subjects: tuple[Prefix, ...] = ()
    customers: tuple[Name, ...] = ()
    sources: tuple[Prefix, ...]

    @model_validator(mode="after")
    def _says_whose(self) -> Self:
        if not self.subjects and not self.customers:
            raise ValueError("subjects or customers: at least one is needed")
        if not self.sources:
            raise ValueError("sources: at least one is needed")
        return self


EVERYTHING = Scope(subjects=(ANYTHING,), sources=(ANYTHING,))
"""The scope of who needs no token: a process on the same machine."""


class Token(BaseModel):
    """A token as it is kept: never its secret, only the SHA-256 of it, in hex. The secret has 256 random bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=ID_TEXT)]
    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    scope: Scope
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    """The first moment at which it is no longer accepted; None: it is accepted until it is revoked."""


class TokenFile(BaseModel):
    """The file that `tally serve` reads: every token that was not revoked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Token, ...] = ()
