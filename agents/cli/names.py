"""Names that a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names that are most like one; empty if none is."""
    by_folded = {each.casefold(): each for each in sorted(known)}
    found = get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    return f"; did you mean {', '.join(by_folded[each] for each in found)}?" if found else ""
