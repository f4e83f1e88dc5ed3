"""billing.alerts, projected for readers: the first record of a key. What is not an alert is named in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pydantic import ValidationError

from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.record_batch import RecordBatch
from agents.store.alerts import AlertStore, Told
from agents.topics import ALERTS
from schemas.alert import Alert

log = logging.getLogger(__name__)


class AlertLog:
    """Projects billing.alerts into its table."""

    def __init__(self, store: AlertStore, keeper: LedgerKeeper) -> None:
        self._store, self._keeper = store, keeper

    async def project(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle: read, store, ledger."""
        told = []
        for batch in batches:
            for offset, value, timestamp in zip(batch.offsets, batch.values, batch.timestamps, strict=True):
                try:
                    told.append(Told(Alert.model_validate_json(value or b""), timestamp, batch.partition, offset))
                except ValidationError as error:
                    log.error("%s/%s at offset %s is refused: %s", ALERTS, batch.partition, offset, error)
        await asyncio.to_thread(self._store.insert_told, told)
        await self._keeper.record(batches)


def attach(app: TallyApp, alerts: AlertLog, keeper: LedgerKeeper) -> None:
    """Runs the projection."""
    app.deliver(ALERTS, process=alerts.project, resume=keeper.resume, linger_s=0.05)
