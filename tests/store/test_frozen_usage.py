"""What a close freezes is what every price needs: each aggregation under each model, against the pure computation.

Nothing here asks the code which shape of usage a price takes: the expected lines are rated from windows, groups and
transactions that this file chooses, aggregated in Python from the same events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.freezing import freeze, usage_of
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.documents import DocumentStore
from agents.store.frozen_usage import usage_by_meter
from agents.store.metered_usage import Question, UsageReader
from agents.store.usage import UsageStore
from pipeline.documents.invoicing import invoice_of
from pipeline.intake.usage_block import judge
from pipeline.meters.aggregation import MeteredEvent, aggregate
from pipeline.meters.aggregation.events import counts, reading_of
from pipeline.meters.scaled import quantity
from pipeline.meters.usage_needed import missing
from pipeline.meters.usage_sql import Frame
from pipeline.rating.charge_lines import RatedSlice, Terms, rate_slice
from pipeline.rating.pricing import UsageRow
from schemas.catalogue_entry import MeterEntry, PlanEntry, catalogue_of
from schemas.customer_state import BillingRun, DuePeriod
from schemas.invoice import Invoice
from schemas.meter import CARRIES_OVER, COMPARES_TEXTS, OVERFLOW_GROUP, Meter
from schemas.money import currency
from schemas.period import Period
from schemas.plan import Plan, RateCard
from schemas.price import Bucketed, Capacity, Dynamic, Matrix, Percentage, TieredBlocks
from schemas.tick import ATTRIBUTIONS, USAGE, Tick, Vector
from tests.builders import event
from tests.store.event_sets import AGGREGATIONS, Log, as_batches

pytestmark = pytest.mark.services

BROKER_TIME = datetime(2027, 12, 1, tzinfo=ZoneInfo("UTC"))
ZONES = {"berlin": "Europe/Berlin", "kathmandu": "Asia/Kathmandu"}
TIERS = [{"up_to": "3", "unit_price": "0.8", "flat_fee": "1"}, {"unit_price": "0.3"}]
PER_UNIT = {"model": "per_unit", "unit_price": "0.04"}
WITHOUT_GROUPS: dict[str, dict[str, Any]] = {
    "per_unit": {"price": PER_UNIT, "unit_conversion": {"factor": "3", "rounding": "ceiling"}},
    "graduated": {"price": {"model": "graduated", "tiers": TIERS}, "percentage_discount": "5", "maximum": "4"},
    "volume": {"price": {"model": "volume", "tiers": TIERS}, "free_units": "1", "minimum": "3"},
    "package": {"price": {"model": "package", "package_size": "2", "package_price": "1.1"}},
    "by_day": {"price": {"model": "bucketed", "by": "day", "price": PER_UNIT, "free_units_per_bucket": "1"}},
    "committed": {"price": PER_UNIT, "commitment": {"quantity": "10", "overage_factor": "1.5"}},
}  # fmt: skip
# The laws of meters reach every aggregation in every window and zone; here each size is billed once or twice.
OF_A_WINDOW: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {
    ("sum", "latest"): {
        "by_hour": {"price": {"model": "bucketed", "by": "hour", "price": {"model": "graduated", "tiers": TIERS}}}
    },
    ("max",): {"by_month": {"price": {"model": "bucketed", "by": "month", "price": PER_UNIT}}},
    ("sum", "count"): {
        "per_week": {"price": PER_UNIT, "commitment": {"amount": "0.3", "per": "week", "true_up": True}}
    },
}
ADDS_UP: dict[str, dict[str, Any]] = {
    "free_daily": {"price": PER_UNIT, "free_units": "2", "free_units_reset": "day"},
}
BY_GROUP: dict[str, dict[str, Any]] = {
    "matrix": {"price": {"model": "matrix", "default_unit_price": "0.01", "default_group_by": ["region"],
                         "prices": [{"match": {"region": ["eu"]}, "unit_price": "0.5"}]}, "free_units": "2"},
    "by_region": {"price": {"model": "bucketed", "by": ["region"], "price": PER_UNIT}},
    "components": {"price": {"model": "tiered_blocks", "components": {
        name: [{"block_size": "2", "block_price": "0.7"}] for name in ("eu", "us", "None")}}},
    "capacity": {"price": {"model": "capacity", "tiers": [{"max": {"eu": "5"}, "price": "1"}, {"price": "2"}]}},
}  # fmt: skip
SUMS: dict[str, dict[str, Any]] = {
    "percentage": {"price": {"model": "percentage", "rate_percent": "1.8", "fixed_fee": "0.25", "free_events": 4,
                             "free_amount": "3", "max_per_event": "1.5"}},
    "dynamic": {"price": {"model": "dynamic", "multiplier": "1.15"}},
    "dynamic_by_region": {"price": {"model": "dynamic", "group_by": ["region"]}},
}  # fmt: skip


def meters() -> list[Meter]:
    found = []
    for aggregation, grouped in product(AGGREGATIONS, (False, True)):
        raw: dict[str, Any] = {
            "id": f"{aggregation}{'_grouped' if grouped else ''}", "event_types": ["call"], "aggregation": aggregation,
            "group_by": ["region"] if grouped else [], "carry_over": aggregation in CARRIES_OVER,
        }  # fmt: skip
        if aggregation != "count":
            raw["value"] = "key" if aggregation in COMPARES_TEXTS else "v"
        if aggregation == "percentile":
            raw["p"] = "95"
        found.append(Meter.model_validate(raw))
    return found


def plan() -> Plan:
    cards = []
    for meter in meters():
        shown = dict(WITHOUT_GROUPS)
        for aggregations, prices in OF_A_WINDOW.items():
            shown |= prices if meter.aggregation in aggregations else {}
        if meter.aggregation in ("count", "sum"):
            shown |= ADDS_UP
        if meter.group_by:
            shown |= BY_GROUP
        if meter.aggregation == "sum":
            shown |= SUMS if meter.group_by else {name: SUMS[name] for name in ("percentage", "dynamic")}
        cards += [{"id": f"{meter.id}.{name}", "meter": meter.id, **raw} for name, raw in shown.items()]
    return Plan.model_validate({"id": "all", "currency": "EUR", "anchor": "calendar", "rate_cards": cards})


def period_of(zone: str) -> tuple[Period, Period]:
    """October 2027, and the part of it that is served."""
    where = ZoneInfo(zone)
    full = Period(datetime(2027, 10, 1, tzinfo=where), datetime(2027, 11, 1, tzinfo=where))
    return full, Period(datetime(2027, 10, 5, tzinfo=where), full.end)


def usage(customer: str, zone: str) -> list[tuple[bytes, bytes]]:
    """Events around every boundary: of the period, of local days and hours, of the change of clocks."""
    full, served = period_of(zone)
    moments = [
        full.start - timedelta(days=3), served.start - timedelta(milliseconds=1), served.start,
        served.start + timedelta(hours=5), served.start + timedelta(hours=5), served.start + timedelta(days=1),
        datetime(2027, 10, 31, 0, 40, tzinfo=ZoneInfo("UTC")), datetime(2027, 10, 31, 1, 40, tzinfo=ZoneInfo("UTC")),
        full.end - timedelta(milliseconds=1), full.end,
    ]  # fmt: skip
    values = ("2", "0.5", "3", "1.25", "4", "0.333", "7", "1", "2.5", "100")
    regions = ("eu", "us", "us", "eu", None, "eu", "us", None, "eu", "eu")
    keys = ("a", "b", "c", "a", "d", "a", "e", "b", "f", "g")
    return [
        event(customer, moment.astimezone(ZoneInfo("UTC")).replace(tzinfo=None).isoformat(sep=" "),
              {"v": value, "key": key, "operation": "remove" if number == 5 else "add"}
              | ({} if region is None else {"region": region}))
        for number, (moment, value, region, key) in enumerate(zip(moments, values, regions, keys, strict=True))
    ]  # fmt: skip


def test_every_aggregation_under_every_price_is_billed_as_the_pure_computation_says(connection: Connection) -> None:
    found = plan()
    entries = [MeterEntry.of(meter) for meter in meters()]
    entry = PlanEntry.of(found, {each.name: each.version for each in entries})
    catalogue = catalogue_of([*entries, entry])
    events, tick = _store(connection)
    runs = [_run(customer, zone, tick, entry) for customer, zone in ZONES.items()]
    _begin(connection, runs)
    store = BillingStore(connection)
    frozen = [freeze(run, catalogue, usage_of(store, tick, 0, runs, catalogue)) for run in runs]
    store.insert_period_usage([row for each in frozen for row in each.rows])
    stored = DocumentStore(connection, partitions=1).period_usage([each.closed.close_id for each in frozen])
    for run, each in zip(runs, frozen, strict=True):
        (invoice,) = invoice_of(each.closed, usage_by_meter(stored[each.closed.close_id]), catalogue)
        assert [line.rated.problem for line in invoice.lines if line.rated.kind == "unpriced"] == []
        for card in found.rate_cards:
            meter = next(meter for meter in meters() if meter.id == card.meter)
            assert _billed(invoice, card) == _owed(card, meter, events[run.customer], run.periods[0]), card.id
        assert each.closed.events == sum(
            row.events for meter in meters()
            for row in aggregate(meter, events[run.customer], run.periods[0].service)
        )  # fmt: skip


def test_groups_beyond_the_limit_are_one_that_has_no_price(connection: Connection) -> None:
    meter = Meter.model_validate(
        {"id": "m", "event_types": ["call"], "aggregation": "sum", "value": "v", "group_by": ["key"]}
    )
    events, tick = _store(connection)
    run = _run("berlin", ZONES["berlin"], tick, None)
    _begin(connection, [run])
    served = run.periods[0].service
    reader = UsageReader(connection, groups_max=3)
    for window in (None, "day"):
        frame = Frame(served, ZONES["berlin"], window=window)  # type: ignore[arg-type]
        rows = reader.run_usage(Question(tick, 0, meter, frame))
        assert [(row.group, row.window, row.value, row.events) for row in rows] == [
            (row.group, row.window, row.value, row.events)
            for row in aggregate(meter, events["berlin"], served, time_zone=ZONES["berlin"], window=window,  # type: ignore[arg-type]
                                 groups_max=3)
        ]  # fmt: skip
        # In order of first usage: c, then a and d at one moment, by arrival; e, b and f came later.
        assert {row.group for row in rows} == {("c",), ("a",), ("d",), (OVERFLOW_GROUP,)}
        assert sum(row.value for row in rows if row.group == (OVERFLOW_GROUP,)) == Decimal("10.5")


def test_transactions_beyond_the_limit_are_one_row_that_has_no_price(connection: Connection) -> None:
    meter = Meter.model_validate({"id": "m", "event_types": ["call"], "aggregation": "sum", "value": "v"})
    events, tick = _store(connection)
    run = _run("berlin", ZONES["berlin"], tick, None)
    _begin(connection, [run])
    served = run.periods[0].service
    every = _transactions(meter, events["berlin"], run.periods[0])
    assert len(every) == 7
    card = next(card for card in plan().rate_cards if card.id == "sum.percentage")
    for limit, kept, reason in ((7, 7, None), (6, 6, None), (4, 4, "a percentage price needs every transaction")):
        reader = UsageReader(connection, transactions_max=limit)
        rows = reader.run_transactions(Question(tick, 0, meter, Frame(served, ZONES["berlin"])))
        assert [row.value for row in rows][:kept] == [row.quantity for row in every][:kept]
        assert sum(row.events for row in rows) == 7, "one more than the limit is a row of its own, as before"
        said = missing(card, meter, [UsageRow(row.value, {}, row.window, row.events) for row in rows])
        assert (said or "").partition(",")[0] == (reason or "")


def _store(connection: Connection) -> tuple[dict[str, list[MeteredEvent]], Tick]:
    log = Log()
    sent = [(customer, value) for customer, zone in ZONES.items() for _, value in usage(customer, zone)]
    records = [log.append(customer, value, BROKER_TIME) for customer, value in sent]
    block = judge(USAGE, as_batches(records), wall_clock=False)
    assert not block.dead_letters
    UsageStore(connection).insert_events(block.events)
    events: dict[str, list[MeteredEvent]] = {}
    for customer, value in sent:
        events.setdefault(customer, []).append(_metered(value))
    vector = Vector(ends={USAGE: tuple(log.ends), ATTRIBUTIONS: (0,)})
    return events, Tick(number=1, time=BROKER_TIME, clock="test", vector=vector)


def _metered(value: bytes) -> MeteredEvent:
    from schemas.quantity import read_json

    raw = read_json(value)
    return MeteredEvent(raw["type"], datetime.fromisoformat(raw["time"]), raw["data"])


def _run(customer: str, zone: str, tick: Tick, entry: PlanEntry | None) -> BillingRun:
    full, served = period_of(zone)
    due = DuePeriod(
        subscription="s", plan="all", plan_version=entry.version if entry else "", currency="EUR", time_zone=zone,
        period=full, service=served, anchor=full.start,
    )  # fmt: skip
    return BillingRun(customer=customer, tick=tick, periods=(due,))


def _begin(connection: Connection, runs: Sequence[BillingRun]) -> None:
    BillingStore(connection).insert_runs(0, runs)


def _billed(invoice: Invoice, card: RateCard) -> list[tuple[object, ...]]:
    return [
        (line.rated.kind, dict(line.rated.dimensions), line.rated.quantity, line.rated.amount)
        for line in invoice.lines
        if line.rated.charge == card.id
    ]


def _owed(card: RateCard, meter: Meter, events: Sequence[MeteredEvent], due: DuePeriod) -> list[tuple[object, ...]]:
    terms = Terms(currency("EUR"), due.period, due.service, due.time_zone, anchor=due.anchor)
    rated: RatedSlice = rate_slice(card, _rows(card, meter, events, due), terms)
    return [(line.kind, dict(line.dimensions), line.quantity, line.amount) for line in rated.lines]


def _rows(card: RateCard, meter: Meter, events: Sequence[MeteredEvent], due: DuePeriod) -> list[UsageRow]:
    price = card.price
    if isinstance(price, Percentage):
        return _transactions(meter, events, due)
    window: Any = None
    if isinstance(price, Bucketed) and isinstance(price.by, str):
        window = price.by
    elif card.commitment and card.commitment.per == "week":
        window = "week"
    elif card.free_units_reset == "day":
        window = "day"
    by_group = isinstance(price, Matrix | TieredBlocks | Capacity | Dynamic) or (
        window is None and isinstance(price, Bucketed)
    )
    asked = meter if by_group else meter.model_copy(update={"group_by": ()})
    rows = aggregate(
        asked, events, due.service, time_zone=due.time_zone, window=window, full_period=due.period, anchor=due.anchor
    )
    found = [
        UsageRow(row.value, dict(zip(asked.group_by, row.group, strict=True)), row.window, row.events) for row in rows
    ]
    return sorted(found, key=lambda row: _first_use(asked, events, row, due)) if by_group else found


def _first_use(meter: Meter, events: Sequence[MeteredEvent], row: UsageRow, due: DuePeriod) -> tuple[object, ...]:
    earliest = datetime(2000, 1, 1, tzinfo=ZoneInfo("UTC")) if meter.carry_over else due.service.start
    span = Period(earliest, due.service.end)
    group = list(row.values.values())
    return min(
        (event.time, place)
        for place, event in enumerate(events)
        if span.contains(event.time) and [event.payload.get(name) for name in meter.group_by] == group
    )


def _transactions(meter: Meter, events: Sequence[MeteredEvent], due: DuePeriod) -> list[UsageRow]:
    inside = [event for event in events if counts(meter, event) and due.service.contains(event.time)]
    return [UsageRow(quantity(reading_of(meter, each).value or 0)) for each in sorted(inside, key=lambda e: e.time)]
