"""`python -m deploy.payments --kafka HOST:PORT --behaviour success`: answers payment requests until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.payments.behaviour import BEHAVIOURS, Answer, Behaviour

REQUESTS, COMMANDS = "billing.payment-requests", "billing.commands"


class PaymentService:
    """Charges or sends back each key once, as long as it remembers it, and reports what became of it."""

    def __init__(self, kafka: str, prefix: str, behaviour: Behaviour) -> None:
        self._kafka, self._prefix, self._behaviour = kafka, prefix, behaviour
        self._known: set[str] = set()
        self._waiting: list[tuple[int, dict[str, Any], str]] = []
        self._count = 0

    async def run(self) -> None:
        """Consumes requests from the start and answers them."""
        consumer = AIOKafkaConsumer(
            f"{self._prefix}{REQUESTS}", bootstrap_servers=self._kafka, group_id=f"{self._prefix}sample-payments",
            auto_offset_reset="earliest", isolation_level="read_committed",
        )  # fmt: skip
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka, acks="all")
        await consumer.start()
        await producer.start()
        try:
            while True:
                fetched = await consumer.getmany(timeout_ms=200)
                for records in fetched.values():
                    for record in records:
                        await self._take(json.loads(record.value), producer)
                await self._release(producer, everything=not fetched)
                if fetched:
                    await producer.flush()  # only then: what was answered is in the log
                    await consumer.commit()
        finally:
            await consumer.stop()
            await producer.stop()

    async def _take(self, request: dict[str, Any], producer: AIOKafkaProducer) -> None:
        if request["key"] in self._known:
            return
        self._known.add(request["key"])
        self._count += 1
        is_refund = request.get("kind") == "refund"
        answers = self._behaviour.sends_back(request) if is_refund else self._behaviour.answers(request)
        for number, answer in enumerate(answers):
            await self._answer(request, answer, number, producer)
        await self._release(producer, everything=False)

    async def _answer(self, request: dict[str, Any], answer: Answer, number: int, producer: AIOKafkaProducer) -> None:
        command = {
            "command": "act_on_document", "action": "payment", "document_id": request["document"],
            "customer": request["customer"], "request_id": f"{answer.result['id']}/{number}",
            "actor": "sample payment service", "reason": answer.result["outcome"], "result": answer.result,
        }  # fmt: skip
        if answer.after:
            self._waiting.append((self._count + answer.after, command, request["customer"]))
        else:
            await self._send(producer, command, request["customer"])

    async def _release(self, producer: AIOKafkaProducer, *, everything: bool) -> None:
        """Sends answers whose turn has come, the last first; all of them when nothing else comes."""
        due = [held for held in self._waiting if everything or held[0] <= self._count]
        self._waiting = [held for held in self._waiting if held not in due]
        for _, command, customer in reversed(due):
            await self._send(producer, command, customer)

    async def _send(self, producer: AIOKafkaProducer, command: dict[str, Any], customer: str) -> None:
        value = json.dumps(command).encode()
        await producer.send(f"{self._prefix}{COMMANDS}", value=value, key=customer.encode())


async def _until_stopped(service: PaymentService) -> None:
    task = asyncio.ensure_future(service.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m deploy.payments", description=__doc__)
    parser.add_argument("--kafka", default="127.0.0.1:9092", help="bootstrap servers")
    parser.add_argument("--prefix", default="", help="put before every topic name")
    parser.add_argument("--behaviour", default="success", choices=BEHAVIOURS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    asyncio.run(_until_stopped(PaymentService(given.kafka, given.prefix, Behaviour(given.behaviour, given.seed))))


if __name__ == "__main__":
    main()
