"""The command line changes things on a real deployment: catalogue, clock, subscriptions, attributions."""

from __future__ import annotations

import json

import pytest

from agents.topics import CATALOGUE, COMMANDS, TICKS
from tests.command_line import Tally
from tests.deployments import Deployment

pytestmark = pytest.mark.services

CATALOGUE_FILE = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"

[[plans]]
id = "basic"
currency = "EUR"
anchor = "calendar"
[[plans.rate_cards]]
id = "use"
meter = "calls"
price = { model = "per_unit", unit_price = "0.5" }
"""


async def keys(deployment: Deployment, topic: str) -> list[str]:
    return [(record.key or b"").decode() for record in await deployment.records(topic)]


async def test_applying_a_catalogue_tells_first_changes_once_and_never_loses_a_version(
    deployment: Deployment, tally: Tally
) -> None:
    file = tally.file("plans.toml", CATALOGUE_FILE)

    assert "2 versions would be published" in await tally.said("catalogue", "apply", "--dry-run", file)
    assert await keys(deployment, CATALOGUE) == []

    first = await tally.json("catalogue", "apply", file)
    assert [(change["status"], change["fields"]) for change in first["changes"]] == [("new", []), ("new", [])]
    assert first["published"] == 2
    assert (await tally.json("catalogue", "apply", file))["published"] == 0

    tally.file("plans.toml", CATALOGUE_FILE.replace('"0.5"', '"0.75"'))
    changed = await tally.said("catalogue", "apply", file)
    assert "rate_cards[use].price.unit_price: 0.5 → 0.75" in changed
    assert "unchanged" in changed

    faulty = tally.file("faulty.toml", CATALOGUE_FILE.replace("EUR", "EURO").replace('"0.5"', '"1"'))
    assert "faulty.toml:9: plans[0].currency: unknown code 'EURO'" in await tally.refused("catalogue", "apply", faulty)

    tally.file("plans.toml", CATALOGUE_FILE)
    assert "applied before" in await tally.said("catalogue", "apply", file)
    basic = [key for key in await keys(deployment, CATALOGUE) if key.startswith("plan/")]
    assert len(basic) == len(set(basic)) == 3

    shown = await tally.json("catalogue", "show", "basic")
    assert [version["newest"] for version in shown] == [True, False]
    assert shown[0]["version"] == first["changes"][1]["key"].partition("@")[2]
    assert "did you mean 'basic'" in await tally.refused("catalogue", "show", "basik", code=4)


async def test_a_test_clock_is_fixed_by_its_first_tick_and_moves_only_on(deployment: Deployment, tally: Tally) -> None:
    assert "has not begun" in await tally.refused("tick", "--at", "2026-10-01")
    assert (await tally.json("clock"))["number"] is None

    deployment.worker("billing")
    begun = await tally.json("tick", "--start", "test", "--at", "2026-10-01")
    assert (begun["number"], begun["time"], begun["clock"]) == (1, "2026-10-01T00:00:00Z", "test")
    assert "for ever" in await tally.refused("tick", "--start", "wall")
    assert "time goes back" in await tally.refused("tick", "--at", "2026-09-30T23:59:59.999")

    assert "Tick 2 at 2026-10-01 06:00 UTC" in await tally.said("tick", "--at", "2026-10-01T08:00+02:00")
    clock = await tally.json("clock")
    assert (clock["number"], clock["followed_by"]) == (2, {"0": 2, "1": 2})
    assert "Followed by every partition" in await tally.said("tick")
    assert len(await deployment.records(TICKS)) == 2


async def test_a_wall_clock_makes_its_own_ticks_and_refuses_others(deployment: Deployment, tally: Tally) -> None:
    deployment.worker("billing")
    begun = await tally.json("tick", "--start", "wall")
    assert begun["clock"] == "wall"
    await deployment.until(lambda: (deployment.billing.clocks() or {0: 0})[0] >= 3, "the worker makes ticks")
    assert "the workers make its ticks" in await tally.refused("tick", "--at", "2026-10-01")
    times = deployment.rows("SELECT time, clock FROM ticks FINAL WHERE number > 1 ORDER BY number")
    assert {clock for _, clock in times} == {"wall"}
    assert [time.microsecond for time, _ in times] == [0] * len(times)  # where an interval of one second begins
    assert [time for time, _ in times] == sorted({time for time, _ in times})


async def test_what_is_no_tick_and_what_runs_ahead_does_not_count_and_stops_nobody(
    deployment: Deployment, tally: Tally
) -> None:
    ahead = {"number": 1, "time": "2090-01-01T00:00:00Z", "clock": "wall", "vector": {"ends": {}}}
    for value in (b"", b"{", b"[]", json.dumps(ahead).encode()):
        await deployment.logs.append(TICKS, None, value)
    deployment.worker("billing")
    assert (await tally.json("tick", "--start", "test", "--at", "2026-10-01"))["number"] == 1
    assert (await tally.json("tick", "--at", "2026-10-02"))["number"] == 2


async def test_a_subscription_is_accepted_or_refused_with_the_reason_and_a_request_counts_once(
    deployment: Deployment, tally: Tally
) -> None:
    await tally.said("catalogue", "apply", tally.file("plans.toml", CATALOGUE_FILE))
    deployment.worker("billing")
    assert "tally tick --start" in await tally.refused("subscribe", "acme", "basic")
    await tally.said("tick", "--start", "test", "--at", "2026-10-01")

    asked = ("subscribe", "acme", "basic", "--request-id", "r1", "--actor", "ann", "--reason", "signed")
    outcome = await tally.json(*asked)
    assert (outcome["accepted"], outcome["actor"], outcome["reason"]) == (True, "ann", "signed")
    assert "nothing changed" in await tally.said(*asked)
    assert "acme-basic exists already" in await tally.refused("subscribe", "acme", "basic")
    absurd = ("subscribe", "zeta", "basic", "--starts-at", "2006-10-01", "--request-id", "r2")
    assert "400 days before billing time" in await tally.refused(*absurd)
    assert "400 days before billing time" in await tally.refused(*absurd)
    assert "no plan 'basik'; did you mean 'basic'" in await tally.refused("subscribe", "zeta", "basik", code=4)
    assert "unknown zone" in await tally.refused("subscribe", "zeta", "basic", "--time-zone", "Mars/Base", code=2)

    held = deployment.rows("SELECT customer, subscription, starts_at FROM subscriptions FINAL")
    assert [(customer, subscription, f"{at:%F %T}") for customer, subscription, at in held] == [
        ("acme", "acme-basic", "2026-10-01 00:00:00")
    ]


async def test_a_subscription_starts_at_local_midnight_and_ends_with_its_period(
    deployment: Deployment, tally: Tally
) -> None:
    await tally.said("catalogue", "apply", tally.file("plans.toml", CATALOGUE_FILE))
    deployment.worker("billing")
    await tally.said("tick", "--start", "test", "--at", "2026-10-10")
    await tally.said("subscribe", "acme", "basic", "--starts-at", "2026-10-01", "--time-zone", "Europe/Berlin")
    assert "Accepted" in await tally.said("cancel", "acme", "acme-basic")
    assert "ends at 2026-10-31T23:00:00+00:00 already" in await tally.refused("cancel", "acme", "acme-basic")
    assert "acme has no other" in await tally.refused("cancel", "acme", "other")
    ((starts, ends),) = deployment.rows("SELECT starts_at, ends_at FROM subscriptions FINAL")
    assert (f"{starts:%F %T}", f"{ends:%F %T}") == ("2026-09-30 22:00:00", "2026-10-31 23:00:00")


async def test_a_running_subscription_keeps_its_version_and_a_new_one_takes_the_newest(
    deployment: Deployment, tally: Tally
) -> None:
    file = tally.file("plans.toml", CATALOGUE_FILE)
    first = (await tally.json("catalogue", "apply", file))["changes"][1]["key"].partition("@")[2]
    deployment.worker("billing")
    await tally.said("tick", "--start", "test", "--at", "2026-10-01")
    await tally.said("subscribe", "acme", "basic")

    tally.file("plans.toml", CATALOGUE_FILE.replace('"0.5"', '"0.75"'))
    second = (await tally.json("catalogue", "apply", file))["changes"][1]["key"].partition("@")[2]
    assert "a version counts from the tick after it was applied" in await tally.refused("subscribe", "bolt", "basic")
    await tally.said("tick", "--at", "2026-10-02")
    await tally.said("subscribe", "bolt", "basic")
    await tally.said("subscribe", "carl", "basic", "--version", first[:6])

    rows = deployment.rows("SELECT customer, plan_version FROM subscriptions FINAL ORDER BY customer")
    assert rows == [("acme", first), ("bolt", second), ("carl", first)]


async def test_a_command_that_nobody_decides_may_still_happen(deployment: Deployment, tally: Tally) -> None:
    await tally.said("catalogue", "apply", tally.file("plans.toml", CATALOGUE_FILE))
    late = await tally.refused("tick", "--start", "test", "--at", "2026-10-01", "--timeout", "0.2", code=6)
    assert "0 of 2" in late
    sent = await tally.json("subscribe", "acme", "basic", "--request-id", "r1", "--no-wait")
    assert (sent["request_id"], sent["offset"]) == ("r1", 0)
    asked = ("subscribe", "acme", "basic", "--request-id", "r1")
    late = await tally.refused(*asked, "--timeout", "0.2", code=6)
    assert "may still be decided" in late
    assert "--request-id r1" in late
    assert len(await deployment.records(COMMANDS)) == 2

    deployment.worker("billing")
    # The commands lie before the first copy of the tick, and time had not begun: so is the first outcome, for ever.
    assert "billing time has not begun" in await tally.refused(*asked)


async def test_subjects_belong_to_a_customer_from_a_time_until_the_next_says_otherwise(
    deployment: Deployment, tally: Tally
) -> None:
    assert "say from when" in await tally.refused("attribute", "k1", "--customer", "acme")
    deployment.worker("billing")
    await tally.said("tick", "--start", "test", "--at", "2026-10-01")
    assert "2 subjects attributed to acme" in await tally.said("attribute", "k1", "k[2]", "--customer", "acme")
    await tally.said("attribute", "k1", "--customer", "bolt", "--from", "2026-10-05")
    await tally.said("attribute", "k[2]", "--customer", "zeta", "--from", "2026-10-07")
    await tally.said("attribute", "k[2]", "--customer", "bolt", "--from", "2026-10-07")  # the newest record counts
    await tally.said("attribute", "--customer", "dora", "--file", tally.file("o.csv", "subject,from\nk9,2026-10-03\n"))

    def projected() -> bool:
        return int(deployment.rows("SELECT count() FROM attributions")[0][0]) == 6

    await deployment.until(projected, "the attributions are projected")
    rows = await tally.json("attributions")
    assert [(r["customer"], r["subject"], r["effective_from"][:10], (r["effective_to"] or "")[:10]) for r in rows] == [
        ("acme", "k1", "2026-10-01", "2026-10-05"),
        ("acme", "k[2]", "2026-10-01", "2026-10-07"),
        ("bolt", "k1", "2026-10-05", ""),
        ("bolt", "k[2]", "2026-10-07", ""),
        ("dora", "k9", "2026-10-03", ""),
    ]
    shown = await tally.said("attributions", "acme")
    assert "k[2]" in shown
    assert "bolt" not in shown
    assert "1 of 5" in await tally.said("attributions", "--limit", "1")


async def test_a_file_of_attributions_with_a_fault_sends_nothing_and_tells_all_faults(tally: Tally) -> None:
    file = tally.file(
        "o.csv", "subject,customer,from\nk1,acme,2026-10-01\nk2,,2026-10-01\nk3,acme,soon\nk4,acme,2150-01-01\n"
    )
    said = await tally.refused("attribute", "--file", file)
    assert "o.csv: line 3: customer: is missing for 'k2'" in said
    assert "o.csv: line 4: from: 'soon' is not a time" in said
    assert "o.csv: line 5: from: 2150-01-01 is a time that no event can have" in said
    assert "o.csv: line 2" not in said
