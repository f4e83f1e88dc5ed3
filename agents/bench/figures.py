"""Figures of a run: a name, a value, a unit, and the target that it is held to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Bound = Literal["at most", "at least", ""]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `bound` and `target` say what it is held to; without a bound it is told and not judged."""

    part: str
    name: str
    value: float
    unit: str
    bound: Bound = ""
    target: float | None = None

    @property
    def verdict(self) -> str:
        """reached, missed, or nothing."""
        if self.target is None:
            return ""
        held = self.value <= self.target if self.bound == "at most" else self.value >= self.target
        return "reached" if held else "missed"


@dataclass(slots=True)
class Figures:
    """What was measured so far, in order; ratios are told first."""

    found: list[Figure] = field(default_factory=list)

    def add(
        self, part: str, name: str, value: float, unit: str, *,
        at_most: float | None = None, at_least: float | None = None,
    ) -> None:  # fmt: skip
        """Notes a figure, with its target if it has one."""
        bound: Bound = "at most" if at_most is not None else "at least" if at_least is not None else ""
        self.found.append(Figure(part, name, value, unit, bound, at_most if at_most is not None else at_least))

    def value(self, part: str, name: str) -> float | None:
        """A figure measured before; None if its part did not run."""
        return next((one.value for one in self.found if (one.part, one.name) == (part, name)), None)

    def ratio(
        self, name: str, above: tuple[str, str], below: tuple[str, str], *,
        at_most: float | None = None, at_least: float | None = None,
    ) -> None:  # fmt: skip
        """Notes one figure divided by another, if both were measured."""
        top, bottom = self.value(*above), self.value(*below)
        if top is not None and bottom:
            self.add("ratios", name, top / bottom, "×", at_most=at_most, at_least=at_least)

    @property
    def ordered(self) -> list[Figure]:
        """Ratios first, then in the order in which they were measured."""
        return sorted(self.found, key=lambda figure: figure.part != "ratios")

    def document(self) -> list[dict[str, Any]]:
        """For programs."""
        return [{**asdict(figure), "verdict": figure.verdict} for figure in self.ordered]
