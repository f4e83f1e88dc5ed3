"""Lines issued for a charge and period as the stages that the next run of it deducts. Source: rating.md §3, §5."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from pipeline.rating.gross import Part
from pipeline.rating.stages import Key, PartStages, Stages
from schemas.issued_line import IssuedLine
from schemas.period import Period
from schemas.quantity import ZERO, exactly
from schemas.rated_line import RatedLine, StageAmounts

_LineKey = tuple[tuple[tuple[str, str | None], ...], int]


def issued_line(
    subscription: str, number: int, line: RatedLine, span: Period, entry: int, *, interim: bool = False
) -> IssuedLine:
    """A rated line as what it added to the stages of its charge; a trial's is what it would have cost."""
    return IssuedLine(
        subscription=subscription,
        charge=line.charge,
        number=number,
        period=line.period,
        service=span,
        kind=line.kind,
        stages=_stages(line),
        dimensions=line.dimensions,
        entry=entry,
        exact=line.amount_exact,
        base=line.commitment.base if line.commitment is not None else None,
        interim=interim,
    )


def _stages(line: RatedLine) -> StageAmounts:
    if line.kind == "top_up":
        return StageAmounts(top_up=line.gross)
    taken = {discount.source: discount.amount for discount in line.discounts}
    return StageAmounts(line.gross, taken.get("percentage_discount", ZERO), taken.get("maximum", ZERO))


@exactly
def billed_before(stages: Stages, issued: Sequence[IssuedLine]) -> Stages:
    """What was issued, as the end of the slice before; its parts stand where the parts of `stages` with them do."""
    keys = dict(zip(_line_keys(stages), stages.parts, strict=True))
    amounts: dict[_LineKey, StageAmounts] = defaultdict(StageAmounts)
    exact: dict[_LineKey, Decimal] = defaultdict(Decimal)
    top_up = ZERO
    for line in issued:
        top_up += line.stages.top_up
        if line.kind in ("fee", "usage"):
            key = (tuple(sorted(line.dimensions.items())), line.entry)
            amounts[key] = added(amounts[key], line.stages)
            exact[key] += line.exact
    parts: dict[Key, PartStages] = {}
    for line_key, billed in amounts.items():
        own = keys.get(line_key, ("issued", *line_key))
        part = stages.parts[own].part if own in stages.parts else _blank(own, line_key)
        parts[own] = PartStages(part, billed, exact[line_key])
    total = StageAmounts(top_up=top_up)
    for billed in amounts.values():
        total = added(total, billed)
    return Stages(total, parts)


def added(one: StageAmounts, other: StageAmounts) -> StageAmounts:
    """Both, stage by stage."""
    return StageAmounts(
        one.gross + other.gross,
        one.discount + other.discount,
        one.cap_discount + other.cap_discount,
        one.top_up + other.top_up,
    )


def _line_keys(stages: Stages) -> list[_LineKey]:
    """The parts in order as their lines are told apart: dimensions, and which of equal ones."""
    seen: dict[tuple[tuple[str, str | None], ...], int] = defaultdict(int)
    found = []
    for part in stages.parts.values():
        dimensions = tuple(sorted(part.part.dimensions.items()))
        found.append((dimensions, seen[dimensions]))
        seen[dimensions] += 1
    return found


def _blank(key: Key, line_key: _LineKey) -> Part:
    return Part(key, dict(line_key[0]), ZERO, ZERO, ZERO, ZERO, ZERO, 0)
