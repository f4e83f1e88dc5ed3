"""What rules see: figures beside thresholds, for whom they are watched, with what they rest on."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pipeline.limits.alerting import Observed
from pipeline.limits.entitlements import Running, running
from pipeline.limits.watching import Hours, Seen, hour_of, observations, wanted
from pipeline.rating.charge_lines import Usage
from schemas.alert_rule import AlertRule
from schemas.tick import Tick, Vector
from tests.builders import moment
from tests.pipeline.limits.test_entitlements import METERED, PLAN, applied, subscribed

AT = moment("2026-10-20 12:20")
NOW = Tick(number=7, time=AT, clock="test", vector=Vector())


def charges() -> tuple[Running, ...]:
    catalogue, plan = applied(METERED + PLAN + '[[plans.entitlements]]\nmeter = "tokens"\nincluded = "200"')
    return tuple(running(subscribed(catalogue, plan), catalogue, AT))


def see(rule: AlertRule, used: int = 0, **seen: Any) -> list[Observed]:
    found = charges()
    usage = {asked: (Usage((), Decimal(used), 1),) for asked in wanted([rule], found, AT)}
    return observations(rule, found, Seen(NOW, (5, 6), usage, **seen))


def rule(on: str, **fields: Any) -> AlertRule:
    return AlertRule.model_validate({"id": "r", "on": on, **fields})


def beyond(found: list[Observed]) -> list[str]:
    return [each.watch.about[-1] for each in found if each.is_beyond]


def test_usage_is_watched_against_quantities_and_parts_of_what_is_included() -> None:
    found = see(rule("usage", meter="tokens", thresholds=["100", "150"], percents=["50", "80"]), 130)
    assert beyond(found) == ["100", "50 %"]
    assert [each.evidence["threshold"] for each in found] == ["100", "150", "100", "160"]
    evidence = found[0].evidence
    assert (evidence["figure"], evidence["usage.events"], evidence["tick"]) == ("130", "5,6", "7")
    assert (evidence["from"], evidence["to"]) == ("2026-10-03T10:00:00+00:00", "2026-11-01T00:00:00+00:00")


def test_spend_is_what_the_line_would_be() -> None:
    (found,) = see(rule("spend", thresholds=["15"]), 130)  # 100 are free, 30 cost 0.50 each
    assert (found.is_beyond, found.evidence["figure"], found.evidence["currency"]) == (True, "15", "EUR")


def test_a_forecast_is_armed_again_only_well_below_its_threshold() -> None:
    (found,) = see(rule("forecast", meter="tokens", thresholds=["200"]), 130)
    assert found.is_beyond
    (near,) = see(rule("forecast", meter="tokens", thresholds=["225"]), 130)
    assert (near.is_beyond, near.is_back) == (False, False)


def test_an_hour_is_compared_with_the_days_before_and_told_with_them() -> None:
    before = {("acme", "tokens"): Hours(tuple(Decimal(10) for _ in range(7)), Decimal(50))}
    (found,) = see(rule("anomaly", meter="tokens"), 41, hours=before)
    assert (found.is_beyond, found.evidence["threshold"]) == (True, "40")
    assert found.evidence["same_hour_before"] == "10,10,10,10,10,10,10"
    assert found.evidence["from"] == "2026-10-20T12:00:00+00:00"
    assert see(rule("anomaly", meter="tokens"), 40, hours=before) == []
    assert see(rule("anomaly", meter="tokens", floor="1000"), 999, hours=before) == []
    assert see(rule("anomaly", meter="tokens"), 41) == []
    assert hour_of(AT).length == timedelta(hours=1)


def test_silence_is_told_of_sources_and_once_for_each_last_event() -> None:
    def heard(minutes: int) -> datetime:
        return AT - timedelta(minutes=minutes)

    found = see(rule("silence", quiet="1 h"), sources={"/a": heard(61), "/b": heard(60)})
    assert [(each.watch.about[0], each.is_beyond) for each in found] == [("/a", True), ("/b", False)]
    assert found[0].watch != see(rule("silence", quiet="1 h"), sources={"/a": heard(62)})[0].watch
    assert len(see(rule("silence", sources=["/b"]), sources={"/a": heard(1), "/b": heard(1)})) == 1


def test_a_balance_is_told_below_its_threshold() -> None:
    left = {("acme", "EUR"): Decimal(9), ("zoe", "EUR"): Decimal(1)}
    both = see(rule("balance", thresholds=["10"]), balances=left)
    assert [(each.watch.customer, each.is_beyond) for each in both] == [("acme", True), ("zoe", True)]
    assert [each.watch.customer for each in see(rule("balance", thresholds=["10"], plans=["p"]), balances=left)] == [
        "acme"
    ]


def test_a_rule_looks_at_its_customers_and_plans_only() -> None:
    fields = {"meter": "tokens", "thresholds": ["1"]}
    assert see(rule("usage", **fields, customers=["other"]), 5) == []
    assert see(rule("usage", **fields, plans=["other"]), 5) == []
    assert len(see(rule("usage", **fields, customers=["acme"], plans=["p"]), 5)) == 1
