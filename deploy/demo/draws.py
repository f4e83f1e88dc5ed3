"""Numbers that look random and are the same on every machine: a function of a seed and a place, never of a state.

Python's own generator promises the same sequence only for floats; a hash promises it for every bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

Choice = TypeVar("Choice")


class Draws:
    """Successive draws at one place; 32 bytes are enough for some twelve small draws."""

    __slots__ = ("_left",)

    def __init__(self, seed: bytes, place: int) -> None:
        self._left = int.from_bytes(blake2b(place.to_bytes(8, "big"), digest_size=32, key=seed).digest(), "big")

    def below(self, bound: int) -> int:
        """A whole number from 0 to `bound` - 1, each as likely as the other (to one part in 2**100)."""
        self._left, drawn = divmod(self._left, bound)
        return drawn

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        """One of several; a choice that stands there twice is twice as likely."""
        self._left, drawn = divmod(self._left, len(choices))
        return choices[drawn]


def seeded(seed: int, purpose: str) -> bytes:
    """The key of all draws for one purpose."""
    return f"{seed}/{purpose}".encode()
