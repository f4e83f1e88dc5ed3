"""The composition root: which agents run in which worker, wired in one place."""

from __future__ import annotations

from agents import (
    alert_log,
    alerter,
    attributions,
    auditor,
    collector,
    day_sealer,
    dead_letters,
    drafts,
    eraser,
    finaliser,
    ingester,
    invoicer,
    period_closer,
    sealer,
    subscriptions,
    thresholds,
    ticker,
)
from agents.alert_log import AlertLog
from agents.alerter import Alerter
from agents.attributions import Attributor
from agents.auditor import Auditor
from agents.breaker import Breaker
from agents.catalogue import CatalogueLog
from agents.collector import Collector
from agents.day_sealer import DaySealer
from agents.dead_letters import Resolver
from agents.delivery import TallyApp
from agents.drafts import Drafter
from agents.eraser import Eraser
from agents.finaliser import Finaliser
from agents.ingester import Ingester
from agents.invoicer import Invoicer
from agents.ledger import Ledger, LedgerKeeper
from agents.period_closer import PeriodCloser
from agents.positions import Positions
from agents.sealer import Sealer
from agents.settings import Settings
from agents.silent_logs import logs_of
from agents.store.alerts import AlertStore
from agents.store.audits import AuditStore
from agents.store.balances import BalanceStore
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.credits import CreditStore
from agents.store.day_totals import DayTotalsStore
from agents.store.dead_letters import DeadLetterStore
from agents.store.documents import DocumentStore
from agents.store.drafts import DraftStore
from agents.store.erasures import ErasureStore
from agents.store.following import Following
from agents.store.metering_costs import CostStore
from agents.store.money import MoneyStore
from agents.store.positions import PositionStore
from agents.store.reconciliation import ReconciliationStore
from agents.store.run_lines import RunLineStore
from agents.store.subscription_events import SubscriptionEventStore
from agents.store.totals import TotalsStore
from agents.store.usage import UsageStore
from agents.subscriptions import SubscriptionAgent
from agents.thresholds import Thresholds
from agents.ticker import Forwarder, Ticker
from agents.topics import ALERTS, ATTRIBUTIONS, COMMANDS, DEAD_LETTERS, FINALISATIONS, PERIODS, TICKS

WORKERS = ("ingest", "billing")


def create_app(name: str, settings: Settings) -> TallyApp:
    """The app of a worker: `ingest` or `billing`. Raises ValueError for another name."""
    if name == "ingest":
        return create_ingest_app(settings)
    if name == "billing":
        return create_billing_app(settings)
    raise ValueError(f"no worker {name!r}; there are {', '.join(WORKERS)}")


def create_ingest_app(settings: Settings) -> TallyApp:
    """Usage events into rows, rows into sealed totals."""
    app = TallyApp("ingest", settings)
    logs = logs_of(settings)
    # Each actor has its own connection: a connection is not shared between calls that run at the same time.
    ledger = Ledger(Connection(settings))
    usage = UsageStore(Connection(settings))
    judge = Ingester(logs, usage, ledger, app.crash_point, Breaker(stops=settings.flood_stops))
    ingester.attach(app, judge)
    totals = Connection(settings)
    catalogue = CatalogueLog(logs)
    sealer.attach(app, Sealer(TotalsStore(totals, BillingStore(totals)), catalogue, CostStore(totals)))
    days = Connection(settings)
    day_sealer.attach(app, _day_sealer(days, catalogue))
    audits = Connection(settings)
    positions = Positions(logs, PositionStore(audits))
    audited = TotalsStore(audits, BillingStore(audits))
    auditor.attach(app, Auditor(AuditStore(audits), audited, catalogue, positions, app.crash_point))
    resolutions = LedgerKeeper(Ledger(Connection(settings)), DEAD_LETTERS)
    resolver = Resolver(DeadLetterStore(Connection(settings)), resolutions)
    dead_letters.attach(app, resolver, resolutions)
    app.on_worker_end(logs.stop)
    return app


def _day_sealer(db: Connection, catalogue: CatalogueLog) -> DaySealer:
    billing = BillingStore(db)
    return DaySealer(TotalsStore(db, billing), DayTotalsStore(db), catalogue, Following(db, billing))


def create_billing_app(settings: Settings) -> TallyApp:
    """Ticks, commands, closes, invoices."""
    app = TallyApp("billing", settings)
    logs = logs_of(settings)
    silent = settings.outputs == "off"

    def keeper(topic: str) -> LedgerKeeper:
        return LedgerKeeper(Ledger(Connection(settings)), topic)

    def billing_store() -> BillingStore:
        return BillingStore(Connection(settings))

    catalogue = CatalogueLog(logs)
    ticks, subjects, commands = keeper(TICKS), keeper(ATTRIBUTIONS), keeper(COMMANDS)
    periods, finals = keeper(PERIODS), keeper(FINALISATIONS)
    clock = None if silent else Ticker(logs, settings.tick_every_s)
    ticker.attach(app, Forwarder(logs, billing_store(), ticks, app.crash_point), ticks, clock)
    attributions.attach(app, Attributor(billing_store(), subjects), subjects)
    actions = DocumentStore(Connection(settings), partitions=settings.billing_partitions)
    announced = SubscriptionEventStore(Connection(settings))
    asked = DraftStore(Connection(settings))
    subscriptions.attach(
        app,
        SubscriptionAgent(logs, billing_store(), actions, announced, asked, commands, catalogue, app.crash_point),
        commands,
    )
    closer = PeriodCloser(logs, billing_store(), ReconciliationStore(Connection(settings)), catalogue, app.crash_point)
    period_closer.attach(app, closer)
    documents = DocumentStore(Connection(settings), partitions=settings.billing_partitions)
    lines = RunLineStore(Connection(settings))
    invoicer.attach(app, Invoicer(documents, lines, catalogue, periods, app.crash_point, waits=silent), periods)
    drafting = Connection(settings)
    before = DocumentStore(drafting, partitions=settings.billing_partitions)
    drafter = Drafter(
        logs, BillingStore(drafting), before, RunLineStore(drafting), DraftStore(drafting), catalogue, app.crash_point
    )
    drafts.attach(app, drafter)
    log_of_documents = DocumentStore(Connection(settings), partitions=settings.billing_partitions)
    booked = MoneyStore(Connection(settings))
    erasing = Eraser(logs, ErasureStore(Connection(settings)), catalogue, partitions=settings.billing_partitions)
    wallets = CreditStore(Connection(settings))
    finaliser.attach(
        app, Finaliser(logs, log_of_documents, billing_store(), booked, catalogue, wallets, finals, app.crash_point)
    )
    if not silent:  # what collection asks and tells goes out by producers of its own: a rebuild must not have them
        money = MoneyStore(Connection(settings))
        collector.attach(app, Collector(settings, logs, billing_store(), money, app.crash_point))
        open_lines = RunLineStore(Connection(settings))
        thresholds.attach(app, Thresholds(logs, billing_store(), open_lines, catalogue, app.crash_point))
        figures = BalanceStore(Connection(settings), partitions=settings.usage_partitions)
        watching = AlertStore(Connection(settings))
        alerter.attach(app, Alerter(logs, catalogue, billing_store(), figures, watching))
    eraser.attach(app, erasing)
    told = keeper(ALERTS)
    alert_log.attach(app, AlertLog(AlertStore(Connection(settings)), told), told)
    app.on_worker_end(logs.stop)
    return app
