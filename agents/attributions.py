"""Which customer a subject belongs to, from a time on: billing.attributions, stored for the queries that need it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pydantic import ValidationError

from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.record_batch import RecordBatch
from agents.store.billing import BillingStore
from agents.topics import ATTRIBUTIONS
from schemas.command import Attribution

log = logging.getLogger(__name__)


class Attributor:
    """Projects billing.attributions into its table."""

    def __init__(self, store: BillingStore, keeper: LedgerKeeper) -> None:
        self._store, self._keeper = store, keeper

    async def project(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle: read, store, ledger. A record that is no attribution changes nothing and is named in the log."""
        found: list[tuple[Attribution, int]] = []
        for batch in batches:
            for offset, value in zip(batch.offsets, batch.values, strict=True):
                try:
                    found.append((Attribution.model_validate_json(value or b""), offset))
                except ValidationError as error:
                    log.error("%s at offset %s is refused: %s", ATTRIBUTIONS, offset, error)
        await asyncio.to_thread(self._store.insert_attributions, found)
        await self._keeper.record(batches)


def attach(app: TallyApp, attributor: Attributor, keeper: LedgerKeeper) -> None:
    """Runs the projection."""
    app.deliver(ATTRIBUTIONS, process=attributor.project, resume=keeper.resume, linger_s=0.05)
