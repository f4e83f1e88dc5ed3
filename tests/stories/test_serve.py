"""Usage over HTTP: what was acknowledged is in the log, whatever is killed; what was not is told, event by event."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agents.tokens import Tokens, place
from agents.topics import reconcile_topics
from schemas.token import Scope
from tests.builders import attributes, moment, retraction
from tests.deployments import Deployment
from tests.services import Services
from tests.serving import BATCH, EVENT, serving

pytestmark = pytest.mark.services

AT = "2026-10-05 10:00"
BEGINS = moment("2026-10-01 00:00")


def batch(*events: object) -> bytes:
    return json.dumps(events).encode()


async def ids_in_log(deployment: Deployment) -> Counter[str]:
    return Counter(json.loads(record.value or b"")["id"] for record in await deployment.records("usage.events"))


async def test_events_in_every_mode_are_acknowledged_or_refused_one_by_one(deployment: Deployment) -> None:
    await deployment.begin(BEGINS)
    deployment.worker("ingest")
    one, other = attributes("a", AT, {"tokens": 1}, id="one"), attributes("b", AT, {"tokens": "2"}, id="other")
    with serving(deployment, serve_body_bytes=100_000) as server:
        async with server.ready() as http:

            async def post(body: bytes, headers: dict[str, str], query: str = "") -> httpx.Response:
                return await http.post(f"/v1/events{query}", content=body, headers=headers)

            assert (await post(batch(one), BATCH, "?dry_run=true")).json() == {"accepted": 1, "dry_run": True}
            assert await deployment.records("usage.events") == []
            assert (await post(json.dumps(one).encode(), EVENT)).json() == {"accepted": 1, "dry_run": False}
            zipped = {**BATCH, "content-encoding": "gzip"}
            assert (await post(gzip.compress(batch(one, other)), zipped)).json()["accepted"] == 2
            binary = {
                "ce-specversion": "1.0", "ce-id": "binary", "ce-source": "/test", "ce-type": "call",
                "ce-subject": "Z%C3%BCrich", "ce-time": "2026-10-05T10:00:00Z", "content-type": "application/json",
            }  # fmt: skip
            assert (await post(b' {"tokens": 3}\n', binary)).status_code == 200
            answer = await post(batch(attributes("a", AT, {}, id="good"), 7, {**one, "time": "yesterday"}), BATCH)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
            problem = answer.json()
            assert problem["type"] == "urn:tally:problem:events-refused"
            assert problem["status"] == 422
            assert problem["accepted"] == 1
            found = [(each["index"], each["reason"]) for each in problem["errors"]]
            assert found == [(1, "not_an_event"), (2, "invalid_time")]
            refused = {
                "broken gzip": (await post(b"no gzip", zipped), 400),
                "a bomb": (await post(gzip.compress(b" " * 50_000_000), zipped), 413),
                "too long": (await post(b" " * 100_001, BATCH), 413),
                "no array": (await post(b"{}", BATCH), 400),
                "no events": (await post(b"a=b", {"content-type": "application/x-www-form-urlencoded"}), 415),
                "brotli": (await post(b"", {**BATCH, "content-encoding": "br"}), 415),
                "no JSON in binary mode": (await post(b'{}, "subject": "other"', binary), 422),
                "another name of this server": (await post(batch(one), {**BATCH, "host": "evil.example"}), 421),
                "another path": (await http.get("/v1/nothing"), 404),
                "a wrong token": (await post(batch(one), {**BATCH, "authorization": "Bearer tally_0_0"}), 401),
            }
            assert {name: answer.status_code for name, (answer, _) in refused.items()} == {
                name: status for name, (_, status) in refused.items()
            }
            assert {answer.headers["content-type"] for answer, _ in refused.values()} == {"application/problem+json"}
            metrics = (await http.get("/metrics")).text
        assert 'tally_http_events_total{outcome="acknowledged"} 5.0' in metrics
        assert 'tally_http_refused_total{reason="invalid_time"} 1.0' in metrics
        assert await ids_in_log(deployment) == Counter({"one": 2, "other": 1, "binary": 1, "good": 1})
        await deployment.stored()
        rows = deployment.rows("SELECT id, subject, data, flags FROM events FINAL ORDER BY id")
        assert rows == [
            ("binary", "Zürich", '{"tokens": 3}', 0), ("good", "a", "{}", 0), ("one", "a", '{"tokens": 1}', 0),
            ("other", "b", '{"tokens": "2"}', 0),
        ]  # fmt: skip
        assert deployment.rows("SELECT count() FROM dead_letters") == [(0,)]
        code, took = server.stop()
        assert code == 0
        assert took < 10


async def test_behind_another_address_a_token_reaches_its_own_subjects_and_no_neighbours(
    deployment: Deployment,
) -> None:
    await deployment.begin(BEGINS)
    await deployment.attribute({"key-1": "umbrella"}, moment("2026-10-03 00:00"))
    settings = deployment.settings.model_copy(update={"tokens": deployment.folder / "tokens.json"})
    tokens = Tokens(place(settings))
    secrets = {
        name: tokens.create(name, scope, at=BEGINS)[1]
        for name, scope in {
            "acme": Scope(subjects=("acme",), sources=("/acme",)),
            "umbrella": Scope(customers=("umbrella",), sources=("/umbrella",)),
        }.items()
    }
    with serving(deployment, serve_host="0.0.0.0", tokens=settings.tokens) as server:
        async with server.ready() as http:

            async def post(name: str, *events: object) -> httpx.Response:
                bearer = {"authorization": f"Bearer {secrets[name]}"} if name else {}
                return await http.post("/v1/events", content=batch(*events), headers={**BATCH, **bearer})

            def of(subject: str, source: str, time: str = AT, **others: object) -> dict[str, object]:
                return attributes(subject, time, {}, source=source, **others)

            assert (await post("", of("acme", "/acme"))).status_code == 401
            assert (await http.get("/metrics")).status_code == 401
            assert (await http.get("/livez")).status_code == 200
            theirs = await post("acme", of("acme/1", "/acme"), of("acme-2", "/acme"), of("key-1", "/acme"))
            assert theirs.status_code == 403
            assert [(each["index"], each["reason"]) for each in theirs.json()["errors"]] == [
                (1, "out_of_scope"), (2, "out_of_scope")
            ]  # fmt: skip
            # Not the neighbour's source either, which would use up its ids; nor a correction of its events.
            assert (await post("acme", of("acme/1", "/umbrella"))).status_code == 403
            wrong = json.loads(retraction("/umbrella", "1", subject="acme/1")[1]) | {"source": "/acme"}
            assert (await post("acme", wrong)).status_code == 403
            right = json.loads(retraction("/acme", "1", subject="acme/1")[1]) | {"source": "/acme"}
            assert (await post("acme", right)).status_code == 200
            assert (await post("umbrella", of("key-1", "/umbrella"))).status_code == 200
            assert (await post("umbrella", of("key-1", "/umbrella", "2026-10-02 23:59"))).status_code == 403
            assert (await post("umbrella", of("acme/1", "/umbrella"))).status_code == 403
            tokens.revoke("umbrella")
            assert (await post("umbrella", of("key-1", "/umbrella"))).status_code == 401
    assert [record.key for record in await deployment.records("usage.events")].count(b"key-1") == 1


async def test_a_server_that_is_killed_has_lost_nothing_that_it_acknowledged(deployment: Deployment) -> None:
    await deployment.begin(BEGINS)
    acknowledged: set[str] = set()
    everything: list[dict[str, object]] = []
    for kills in range(2):
        with serving(deployment) as server:
            async with server.ready() as http:

                async def produce(name: str) -> None:
                    for number in range(10_000):
                        events = [attributes(f"{name}/{n}", AT, {}, id=f"{name}-{number}-{n}") for n in range(50)]
                        everything.extend(events)
                        try:
                            answer = await http.post("/v1/events", content=batch(*events), headers=BATCH)
                        except httpx.HTTPError:
                            return
                        assert answer.status_code == 200, answer.text
                        acknowledged.update(str(event["id"]) for event in events)

                producing = [asyncio.create_task(produce(f"{kills}-{name}")) for name in "abcd"]
                await asyncio.sleep(0.5)
                server.kill()
                await asyncio.gather(*producing)
    assert len(acknowledged) > 1_000
    assert acknowledged <= set(await ids_in_log(deployment))
    # Whoever was told nothing sends all again, and each counts once.
    with serving(deployment) as server:
        async with server.ready() as http:
            for start in range(0, len(everything), 1_000):
                body = batch(*everything[start : start + 1_000])
                assert (await http.post("/v1/events", content=body, headers=BATCH)).status_code == 200
    deployment.worker("ingest")
    await deployment.stored()
    assert deployment.rows("SELECT count(), uniqExact(id) FROM events FINAL") == [(len(everything), len(everything))]


async def test_while_the_broker_is_away_the_server_lives_and_says_when_to_come_again(
    deployment: Deployment, services: Services
) -> None:
    await deployment.begin(BEGINS)
    with serving(deployment, serve_ack_within_s=0.5, serve_pending_bytes=1024 * 1024) as server:
        async with server.ready() as http:

            async def post(number: int, size: int = 0) -> httpx.Response:
                event = attributes("a", AT, {"text": "x" * size}, id=str(number))
                return await http.post("/v1/events", content=json.dumps(event).encode(), headers=EVENT)

            assert (await post(1)).status_code == 200
            await asyncio.to_thread(services.stop, "kafka")
            try:
                first = await asyncio.gather(*(post(n, 400_000) for n in (2, 3, 4)))
                answers = [*first, await post(5)]
                assert {answer.status_code for answer in answers} == {429, 503}
                assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
                while (await http.get("/readyz")).status_code == 200:
                    await asyncio.sleep(0.1)
                assert (await http.get("/livez")).status_code == 200
            finally:
                await asyncio.to_thread(services.start, "kafka")
            async with asyncio.timeout(30):
                while (await post(6)).status_code != 200:
                    await asyncio.sleep(0.2)
                while (await http.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.1)
            found = await ids_in_log(deployment)
            assert {"1", "6"} <= set(found)
            # A topic that was created anew does not know the producer any more: another one takes its place.
            await create_anew(deployment)
            async with asyncio.timeout(30):
                while (await post(7)).status_code != 200:
                    await asyncio.sleep(0.2)
            assert server.process.exit_code is None
    assert "7" in await ids_in_log(deployment)


async def create_anew(deployment: Deployment) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    try:
        await admin.delete_topics([f"{deployment.settings.topic_prefix}usage.events"])
        async with asyncio.timeout(30):
            while "created" not in {state.status for state in await reconcile_topics(deployment.settings)}:
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
