"""The whole of billing without a log: commands and ticks folded, their runs rated against the lines issued before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pipeline.closing.run_lines import RunLine, RunLines, due_charges, plan_of, run_lines
from pipeline.closing.runs import bill
from pipeline.rating.charge_lines import Usage
from pipeline.subscriptions.fold import decide
from pipeline.subscriptions.subscription_events import Transition, announced, transitions
from schemas.catalogue_entry import Catalogue, CouponEntry, MeterEntry, PlanEntry, catalogue_of
from schemas.command import COMMAND_RECORD, TickCopy
from schemas.customer_state import BillingRun, CustomerState, PeriodClosed
from schemas.issued_line import IssuedLine
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.subscription import Subscription
from schemas.tick import Tick, Vector

CALLS = MeterEntry.of(Meter.model_validate({"id": "calls", "event_types": ["call"], "aggregation": "count"}))


OF_THE_CUSTOMER = (
    "set_customer", "add_line", "grant_credit", "revoke_credit", "top_up", "set_recharge", "settle_top_up",
    "restore_credit", "redeem_coupon", "bill_again",
)  # fmt: skip


def at(text: str) -> datetime:
    """A moment in UTC, such as `2027-03-20` or `2027-03-20 12:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plan(name: str, *cards: Mapping[str, Any], **fields: Any) -> PlanEntry:
    """A version of a plan in euros on a calendar grid without grace, unless `fields` say otherwise."""
    found = {"id": name, "currency": "EUR", "anchor": "calendar", "grace": "0 s", "rate_cards": list(cards), **fields}
    if "billing_day" in fields:
        del found["anchor"]
    return PlanEntry.of(Plan.model_validate(found), {"calls": CALLS.version})


def fee(amount: str, name: str = "fee", **fields: Any) -> dict[str, Any]:
    """A flat fee in advance."""
    return {"id": name, "timing": "advance", "price": {"model": "flat", "amount": amount}, **fields}


def use(unit_price: str = "0.10", name: str = "use", **fields: Any) -> dict[str, Any]:
    """Calls by unit."""
    return {"id": name, "meter": "calls", "price": {"model": "per_unit", "unit_price": unit_price}, **fields}


@dataclass
class Billing:
    """One customer, `acme`; `calls` are moments at which a call was made, by subject or by nobody in particular."""

    plans: Sequence[PlanEntry]
    begins: str = "2027-01-01"
    coupons: Sequence[CouponEntry] = ()
    calls: Sequence[tuple[str, int]] = ()
    """(moment, how many)."""
    state: CustomerState = field(default_factory=lambda: CustomerState(customer="acme"))
    runs: list[BillingRun] = field(default_factory=list)
    documents: list[tuple[datetime, RunLines]] = field(default_factory=list)
    issued: list[IssuedLine] = field(default_factory=list)
    closes: list[tuple[PeriodClosed, tuple[RunLines, ...]]] = field(default_factory=list)
    told: list[Transition] = field(default_factory=list)
    """What was announced of the subscriptions."""
    number: int = 0
    looks_back: Callable[[BillingRun], BillingRun] = lambda run: run
    """What a close adds to a run because of late records."""

    def __post_init__(self) -> None:
        self.now = at(self.begins)
        self.number = 1

    @property
    def catalogue(self) -> Catalogue:
        """Everything that was applied."""
        return catalogue_of([CALLS, *self.plans, *self.coupons])

    @property
    def clock(self) -> Tick:
        """The last tick."""
        return Tick(number=self.number, time=self.now, clock="test", vector=Vector())

    def ask(self, command: str, **fields: Any) -> str:
        """Hands a command in; why it was refused, or nothing."""
        asked = {"command": command, "request_id": f"r{len(self.runs)}-{command}", "actor": "ann", "reason": "asked",
                 "customer": "acme", **fields}  # fmt: skip
        if command not in OF_THE_CUSTOMER:
            asked.setdefault("subscription", "s")
        if "plan" in asked:
            entry = next(one for one in reversed(self.plans) if one.name == asked["plan"])
            asked.setdefault("plan_version", entry.version)
        record = COMMAND_RECORD.validate_python(asked)
        assert not isinstance(record, TickCopy)
        before = self.state
        decision = decide(before, record, self.clock, self.catalogue)
        if decision.refusal:
            assert decision.state is before
            return decision.refusal
        self._put(decision.state)
        return ""

    def _put(self, state: CustomerState) -> None:
        self.told += transitions(self.state, state, self.now)
        self.state = announced(state, self.now)

    def do(self, command: str, **fields: Any) -> None:
        """Hands a command in that is accepted."""
        refusal = self.ask(command, **fields)
        assert refusal == ""

    def tick(self, moment: str) -> list[tuple[str, str, str]]:
        """Moves time; (charge, from, amount) of the lines of the run, credits negative."""
        self.now = at(moment)
        self.number += 1
        state, run = bill(self.state, self.clock)
        self._put(state)
        if run is None:
            return []
        run = self.looks_back(run)
        self.runs.append(run)
        return [line for found in self._rated(run) for line in _told(found.all)]

    def _rated(self, run: BillingRun) -> tuple[RunLines, ...]:
        closed = PeriodClosed(
            close_id="c", customer="acme", revision=0, tick=run.tick, follows=run.follows, periods=run.periods,
            one_offs=run.one_offs, record=run.record, grants=run.grants, usage_rows=0, events=0, fingerprint="",
        )  # fmt: skip
        found = run_lines(closed, self._usage(run), self.catalogue, self.issued)
        self.closes.append((closed, found))
        self.issued += [line.issued() for lines in found for line in lines.all]
        self.documents += [(run.tick.time, lines) for lines in found]
        return found

    def _usage(self, run: BillingRun) -> dict[tuple[str, str, Period], Sequence[Usage]]:
        found = {}
        for due in run.periods:
            entry = plan_of(due, self.catalogue)
            for card, _ in due_charges(due, entry.plan.in_currency(due.currency)):
                if card.meter is not None:
                    count = sum(n for moment, n in self.calls if any(span.contains(at(moment)) for span in due.served))
                    rows = [Usage((), Decimal(count), count)] if count else []
                    found[due.subscription, card.meter, due.service] = rows
        return found

    @property
    def subscription(self) -> Subscription:
        """The first one."""
        return self.state.subscriptions[0]

    def billed(self) -> Decimal:
        """Everything that was ever billed, less everything given back."""
        return sum((line.amount for _, found in self.documents for line in found.all), Decimal(0))


def _told(lines: Sequence[RunLine]) -> list[tuple[str, str, str]]:
    return [(line.rated.charge, f"{line.span.start:%m-%d}/{line.span.end:%m-%d}", f"{line.amount:f}") for line in lines]
