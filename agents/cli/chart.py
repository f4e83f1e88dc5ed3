"""A plot of plain text: amounts over usage, one mark per column."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

HEIGHT = 12


def chart(points: Sequence[tuple[Decimal, Decimal]], *, height: int = HEIGHT, marked: int | None = None) -> list[str]:
    """Lines of text, highest first: a column per (usage, amount), `o` at the marked one, axes with both ends named."""
    top = max((amount for _, amount in points), default=Decimal(0))
    levels = [_level(amount, top, height) for _, amount in points]
    labels = {height - 1: f"{top:,f}", 0: f"{Decimal(0):,f}"}
    width = max(map(len, labels.values()))
    lines = []
    for level in range(height - 1, -1, -1):
        marks = "".join(_mark(found == level, index == marked) for index, found in enumerate(levels))
        lines.append(f"{labels.get(level, ''):>{width}} |{marks.rstrip()}")
    first, last = f"{points[0][0]:,f}", f"{points[-1][0]:,f}"
    lines.append(f"{'':>{width}} +{'-' * len(points)}")
    lines.append(f"{'':>{width}}  {first}{last:>{len(points) - len(first)}}")
    return lines


def _level(amount: Decimal, top: Decimal, height: int) -> int:
    return int((amount / top * (height - 1)).to_integral_value()) if top else 0


def _mark(is_here: bool, is_marked: bool) -> str:
    if not is_here:
        return " "
    return "o" if is_marked else "*"
