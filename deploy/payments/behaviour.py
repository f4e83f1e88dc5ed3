"""How a payment service may behave: what it answers to a request, in which order, how often, or not at all.

The words are the service's own. It shares no code with Tally: a real one is written by somebody else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BEHAVIOURS = ("success", "decline", "decline-first", "silence", "twice", "reordered", "partly", "action", "mixed")


@dataclass(frozen=True, slots=True)
class Answer:
    """A result, and how many requests later it is sent; 0 is at once."""

    result: dict[str, Any]
    after: int = 0


class Behaviour:
    """Answers requests; what it draws comes from a seed, so a run can be repeated."""

    def __init__(self, name: str, seed: int = 1) -> None:
        if name not in BEHAVIOURS:
            raise ValueError(f"no behaviour {name!r}; there are {', '.join(BEHAVIOURS)}")
        self._name, self._random = name, random.Random(seed)

    def answers(self, request: dict[str, Any]) -> Iterator[Answer]:
        """What is answered to a request that the service sees for the first time."""
        name = self._name
        if name == "mixed":
            name = self._random.choice(BEHAVIOURS[:-1])
        if name == "silence":
            return
        declines = name == "decline" or (name == "decline-first" and request["attempt"] == 1)
        if declines:
            yield Answer(_result(request, "failed", detail="insufficient funds"))
        elif name == "action":
            yield Answer(_result(request, "requires_action", detail="the customer must confirm"))
            yield Answer(_result(request, "succeeded", request["amount"]), after=2)
        elif name == "partly":
            yield Answer(_result(request, "succeeded", _half(request["amount"])))
        else:
            answer = Answer(_result(request, "succeeded", request["amount"]), after=3 if name == "reordered" else 0)
            yield answer
            if name == "twice":
                yield answer

    def sends_back(self, request: dict[str, Any]) -> Iterator[Answer]:
        """What is answered to a request to send money back: a service that declines payments declines these too."""
        name = self._random.choice(BEHAVIOURS[:-1]) if self._name == "mixed" else self._name
        if name == "silence":
            return
        if name == "decline":
            yield Answer(_sent_back(request, "failed", detail="the card is closed"))
            return
        amount = request["refund_amount"]
        answer = Answer(_sent_back(request, "refunded", _half(amount) if name == "partly" else amount),
                        after=3 if name == "reordered" else 0)  # fmt: skip
        yield answer
        if name == "twice":
            yield answer


def _half(amount: str) -> str:
    """About a half, at the same scale: amounts are texts of decimals."""
    whole, _, decimals = amount.partition(".")
    units = int(whole + decimals) // 2 or 1
    text = str(units).rjust(len(decimals) + 1, "0")
    return f"{text[: -len(decimals)]}.{text[-len(decimals) :]}" if decimals else text


def _result(request: dict[str, Any], outcome: str, amount: str | None = None, *, detail: str = "") -> dict[str, Any]:
    return {
        "id": f"{outcome}-{request['key']}",
        "outcome": outcome,
        "document": request["document"],
        "attempt": request["attempt"],
        "amount": amount,
        "currency": request["currency"],
        "detail": detail,
    }


def _sent_back(request: dict[str, Any], outcome: str, amount: str | None = None, *, detail: str = "") -> dict[str, Any]:
    return {
        "id": f"{outcome}-{request['key']}",
        "outcome": outcome,
        "document": request["document"],
        "refund": request["key"],
        "amount": amount,
        "currency": request["currency"],
        "detail": detail,
    }
