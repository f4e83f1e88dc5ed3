"""Limits as stories: nobody overspends, whoever is killed; and what a customer sees is what the invoice will say."""

from __future__ import annotations

import asyncio
import json
import random
from decimal import Decimal
from typing import Any

import httpx
import pytest

from agents.tokens import Tokens, place
from schemas.token import Scope
from tests.builders import attributes, event, moment
from tests.deployments import Deployment
from tests.serving import EVENT, serving

pytestmark = pytest.mark.services

BEGINS, NOW = moment("2026-10-01 00:00"), "2026-10-05 10:02"
CATALOGUE = """
[[meters]]
id = "tokens"
event_type = "call"
aggregation = "sum"
value = "tokens"
group_by = ["model"]
unit = "tokens"

[[plans]]
id = "capped"
currency = "EUR"
anchor = "calendar"
[[plans.rate_cards]]
id = "tokens"
meter = "tokens"
price = { model = "per_unit", unit_price = "0.01" }
[[plans.entitlements]]
meter = "tokens"
included = "1000"
limit = "hard"
"""
LIMIT, PART = 1000, 10
PATH = "/v1/customers/acme/entitlements/tokens"


async def begun(deployment: Deployment, catalogue: str = CATALOGUE) -> None:
    deployment.worker("ingest")
    deployment.worker("billing", instance="billing")  # a name: who takes over has its partitions at once
    await deployment.apply(catalogue)
    await deployment.begin(BEGINS)
    await deployment.attribute({"acme/key": "acme"}, BEGINS)
    await deployment.subscribe({"acme": "capped", "other": "capped"}, BEGINS)
    await deployment.tick(moment(NOW))


class Callers:
    """Fifty callers, each of which reserves, uses what it was granted, or dies with it; on whichever server answers."""

    def __init__(self, servers: list[httpx.AsyncClient]) -> None:
        self.servers = servers
        self.used = 0
        self.abandoned: list[str] = []
        self.settled: list[str] = []

    async def call(self, number: int, until: asyncio.Event) -> None:
        draw = random.Random(number)
        calls = 0
        while not until.is_set():
            calls += 1
            name, dies = f"{number}-{calls}", draw.random() < 0.15
            if await self._reserve(draw, name, expires_in_s=2 if dies else 300):
                if dies:
                    self.abandoned.append(name)
                else:
                    await self._use(draw, name)
                    self.used += PART
                    self.settled.append(name)
            else:
                await asyncio.sleep(0.3)

    async def _reserve(self, draw: random.Random, name: str, *, expires_in_s: int) -> bool:
        """Asks again, with the same id, where a server dies under the question."""
        while True:
            try:
                http = draw.choice(self.servers)
                asked = {"id": name, "amount": PART, "expires_in_s": expires_in_s}
                answer = await http.post(f"{PATH}/reservations", json=asked)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code != 503:
                assert answer.status_code in (201, 409), answer.text
                return answer.status_code == 201
            await asyncio.sleep(0.2)

    async def _use(self, draw: random.Random, name: str) -> None:
        usage = attributes("acme/key", NOW, {"tokens": PART, "model": "m"}, id=name, reservation=name)
        while True:
            try:
                http = draw.choice(self.servers)
                answer = await http.post("/v1/events", content=json.dumps(usage), headers=EVENT)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            return


async def standing(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.get(PATH)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_fifty_callers_and_a_killed_server_overspend_nothing_and_what_was_abandoned_returns(
    deployment: Deployment,
) -> None:
    await begun(deployment)
    with serving(deployment) as first, serving(deployment) as second:
        async with first.ready() as one, second.ready() as two:
            callers = Callers([one, two])
            ended = asyncio.Event()
            work = [asyncio.create_task(callers.call(number, ended)) for number in range(50)]
            await _used(callers, LIMIT // 3)
            first.kill()
            callers.servers = [two]
            await _used(callers, LIMIT)
            ended.set()
            await asyncio.gather(*work)
            assert callers.abandoned
            assert len(callers.settled) * PART == LIMIT  # exactly: what was abandoned came back, and no more
            assert (await two.post(f"{PATH}/reservations", json={"amount": "0.000001"})).status_code == 409
            await deployment.stored()
            total = deployment.rows("SELECT sum(value) FROM v_usage_current WHERE customer = 'acme'")
            assert total == [(Decimal(LIMIT),)]


async def _used(callers: Callers, wanted: int) -> None:
    async with asyncio.timeout(60):
        while callers.used < wanted:
            await asyncio.sleep(0.05)


async def test_an_entitlement_is_told_with_its_position_to_whom_it_belongs(deployment: Deployment) -> None:
    await begun(deployment)
    await deployment.publish([event("acme/key", NOW, {"tokens": 150, "model": str(n)}) for n in range(3)])
    coverage = await deployment.stored()
    token = Tokens(place(deployment.settings)).create(
        "other", Scope(subjects=(), customers=("other",), sources=("/other",)), at=BEGINS
    )[1]
    with serving(deployment) as server:
        async with server.ready() as http:
            found = await standing(http)
            assert (found["used"], found["reserved"], found["balance"]) == ("450", "0", "550")
            assert (found["limit"], found["is_hard"], found["unit"]) == ("1000", True, "tokens")
            assert found["position"]["usage.events"] == [coverage.get(p, 0) for p in range(3)]
            assert found["window"] == {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
            bearer = {"authorization": f"Bearer {token}"}
            neighbour = [
                await http.get(PATH, headers=bearer),
                await http.post(f"{PATH}/reservations", json={"amount": "1"}, headers=bearer),
                await http.delete(f"{PATH}/reservations/r-1", headers=bearer),
            ]
            assert [answer.status_code for answer in neighbour] == [403, 403, 403]
            assert (await http.get("/v1/customers/other/entitlements/tokens", headers=bearer)).json()["used"] == "0"
            assert (await http.get("/v1/customers/acme/entitlements/nothing")).status_code == 404
            asked = {"id": "r-1", "amount": "400", "expires_in_s": 600}
            answers = [await http.post(f"{PATH}/reservations", json=asked) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [201, 201]  # the same one
            assert answers[1].json()["balance"] == "150"
            refused = await http.post(f"{PATH}/reservations", json={"amount": "150.1"})
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:tally:problem:limit-reached")
            for body in ({"amount": 0}, {"amount": "x"}, {"amount": "1", "expires_in_s": 3601}, {}):
                assert (await http.post(f"{PATH}/reservations", json=body)).status_code == 400
            assert (await http.delete(f"{PATH}/reservations/r-1")).status_code == 202
            async with asyncio.timeout(20):
                while (await standing(http))["reserved"] != "0":
                    await asyncio.sleep(0.1)
            await _runs_away(http)


async def _runs_away(http: httpx.AsyncClient) -> None:
    """A customer that reserves nothing and never stops: its gateway looks at the balance, and ends it."""
    async with asyncio.timeout(30):
        while Decimal((await standing(http))["balance"]) > 0:
            usage = attributes("acme/key", NOW, {"tokens": 97, "model": "m"})
            assert (await http.post("/v1/events", content=json.dumps(usage), headers=EVENT)).status_code == 200
            await asyncio.sleep(0.02)
    assert (await http.post(f"{PATH}/reservations", json={"amount": "1"})).status_code == 409
