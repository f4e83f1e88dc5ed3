"""Old and new workers overlap while usage comes in; whoever books the invoices by the sample books each once."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from tests.deployments import ROOT, Deployment
from tests.stories import october

pytestmark = pytest.mark.services


async def test_a_rolling_restart_under_load_bills_the_same_and_is_booked_once(
    deployment: Deployment, tmp_path: Path
) -> None:
    old = deployment.line()
    await october.begin(deployment)
    half = len(october.OF_OCTOBER) // 2
    await deployment.publish(october.OF_OCTOBER[:half])
    new = deployment.line()  # the new ones are there before the old ones go
    await deployment.publish(october.OF_OCTOBER[half:])
    assert old[0].stop() == 0
    await deployment.tick(october.IN_GRACE)
    await deployment.publish(october.LATE)
    await deployment.tick(october.CLOSES)
    assert old[1].stop() == 0
    october.check(await deployment.invoices(len(october.PLANS)))
    assert [worker.exit_code for worker in new] == [None, None]
    await _booked(deployment, tmp_path / "books.db")


async def _booked(deployment: Deployment, file: Path) -> None:
    """The sample of the contract, killed in between and started again."""
    for _ in range(2):
        with _sample(deployment, file) as consumer:
            await deployment.until(lambda: _sums(file) == october.TOTALS, "the sample has booked every invoice")
            consumer.kill()


@contextmanager
def _sample(deployment: Deployment, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The code block of the page for consumers, as a program."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "schemas" / "INVOICES.md").read_text("utf-8"), re.DOTALL)
    topic = f"{deployment.settings.topic_prefix}billing.invoices"
    program = subprocess.Popen([sys.executable, "-c", code, deployment.settings.kafka, topic, str(file)])
    try:
        yield program
    finally:
        program.kill()
        program.wait()


def _sums(file: Path) -> dict[str, str]:
    """Customer -> what is booked; nothing before the first."""
    books = sqlite3.connect(file)
    try:
        rows = books.execute("SELECT customer, amount FROM booked").fetchall()
    except sqlite3.OperationalError:
        return {}
    finally:
        books.close()
    found: dict[str, Decimal] = {}
    for customer, amount in rows:
        found[customer] = found.get(customer, Decimal(0)) + Decimal(amount)
    return {customer: f"{total:f}" for customer, total in found.items()}
