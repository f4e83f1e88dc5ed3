"""A record of billing.erasures: the bytes of a subject are to go. It does not name the subject."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.identity import derived_id

PSEUDONYM = "erased-"
"""How every pseudonym begins."""
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Erasure(BaseModel):
    """Carried out on everything below the end of `usage`, after every close under an earlier tick and before any later
    one, so that a rebuild does it at the same place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    usage: tuple[int, ...]
    """`next_offset` of each partition of usage.events when it was asked for: what comes later is new usage."""
    request_id: Name
    actor: Name
    reason: Annotated[str, Field(min_length=1, max_length=2000)]

    @property
    def pseudonym(self) -> str:
        """What stands in place of the subject: the same for all of its erasures."""
        return pseudonym_of(self.subject_sha256)


def pseudonym_of(subject_sha256: str) -> str:
    """The pseudonym of a subject, by the hash of its name."""
    return f"{PSEUDONYM}{derived_id('erased subject', subject_sha256)}"


def subject_hash(subject: str) -> str:
    """SHA-256 of a subject's name in UTF-8, in hex."""
    return hashlib.sha256(subject.encode()).hexdigest()
