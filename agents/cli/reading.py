"""What the commands that look and prove hold open: one connection, the logs, and the reads that stand on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agents.catalogue import CatalogueLog
from agents.ledger import Ledger
from agents.logs import Logs
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.documents import DocumentStore
from agents.store.identities import IdentityStore
from agents.store.looks import LookStore
from agents.store.positions import PositionStore
from agents.store.reconciliation import ReconciliationStore
from agents.store.recount import RecountStore
from agents.store.run_lines import RunLineStore
from agents.store.totals import TotalsStore


@dataclass(frozen=True, slots=True)
class Reading:
    """Readers on one connection: ask them one after the other."""

    connection: Connection
    partitions: int
    logs: Logs
    catalogue: CatalogueLog
    billing: BillingStore
    documents: DocumentStore
    lines: RunLineStore
    totals: TotalsStore
    looks: LookStore
    reconciliation: ReconciliationStore
    ledger: Ledger
    positions: PositionStore
    identities: IdentityStore
    recount: RecountStore


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Reading]:
    """Opens them, and closes the connections at the end."""
    connection, logs = Connection(settings), Logs(settings)
    billing = BillingStore(connection)
    try:
        yield Reading(
            connection=connection,
            partitions=settings.billing_partitions,
            logs=logs,
            catalogue=CatalogueLog(logs),
            billing=billing,
            documents=DocumentStore(connection, partitions=settings.billing_partitions),
            lines=RunLineStore(connection),
            totals=TotalsStore(connection, billing),
            looks=LookStore(connection),
            reconciliation=ReconciliationStore(connection),
            ledger=Ledger(connection),
            positions=PositionStore(connection),
            identities=IdentityStore(connection),
            recount=RecountStore(connection),
        )
    finally:
        await logs.stop()
        connection.close()
