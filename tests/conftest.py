"""Fixtures: the real servers, once per session; a deployment of its own for every test that asks for one."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agents.settings import Settings
from agents.store.connection import Connection
from agents.store.migrations import migrate
from agents.topics import TOPICS, reconcile_topics
from tests.command_line import Tally
from tests.deployments import Deployment, environment
from tests.services import Services, start_services


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """Kafka and ClickHouse, started once and stopped with the session, also if it crashes."""
    started = start_services()
    atexit.register(started.end)
    yield started
    atexit.unregister(started.end)
    started.end()


@pytest.fixture
def empty_settings(services: Services) -> Settings:
    """Settings of a deployment that has neither topics nor tables yet; small, and quick to act."""
    name = f"test_{uuid4().hex[:12]}"
    return Settings(
        home=services.home,
        database=name,
        topic_prefix=f"{name}.",
        usage_partitions=3,
        billing_partitions=2,
        tick_every_s=1,
        linger_ms=20,
        store_retry_s=60,
        **services.addresses(),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="session")
def migrated(services: Services) -> list[str]:
    """Statements that restore a database with all migrations: they take a tenth of migrating another."""
    settings = Settings(home=services.home, database="migrated", **services.addresses())  # type: ignore[arg-type]
    migrate(settings)
    opened = Connection(settings)
    opened.execute("BACKUP DATABASE migrated TO File('migrated')")
    views = opened.tuples(
        "SELECT create_table_query FROM system.tables WHERE database = 'migrated' AND engine = 'View' ORDER BY "
        "length(loading_dependencies_table), metadata_modification_time"
    )
    opened.close()
    # RESTORE under another name forgets the alias of a table that a view joins: its views are made again.
    again = [row[0].replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1).replace("migrated.", "{0}.") for row in views]
    return ["RESTORE DATABASE migrated AS {0} FROM File('migrated')", *again]


@pytest.fixture
async def settings(empty_settings: Settings, migrated: list[str]) -> AsyncIterator[Settings]:
    """Settings of a deployment with its topics and tables; both are dropped after the test."""
    await reconcile_topics(empty_settings)
    await _restore(empty_settings, migrated)
    yield empty_settings
    await _drop(empty_settings)
    await _drop_topics(empty_settings)


@pytest.fixture
async def deployment(settings: Settings, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A deployment to start workers in, to publish to and to ask."""
    deployed = Deployment(settings, tmp_path)
    yield deployed
    unbalanced = await asyncio.to_thread(deployed.unbalanced)
    await deployed.close()
    assert unbalanced == []  # money is conserved whatever a story does


@pytest.fixture
async def rebuilt(settings: Settings, migrated: list[str], tmp_path: Path) -> AsyncIterator[Deployment]:
    """The same topics over an empty database, and workers that do not know of the others."""
    other = settings.model_copy(update={"database": f"{settings.database}_rebuilt"})
    await _restore(other, migrated)
    (tmp_path / "rebuilt").mkdir()
    deployed = Deployment(other, tmp_path / "rebuilt")
    yield deployed
    await deployed.close()
    await _drop(other)


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    """A connection to the tables of this test."""
    opened = Connection(settings)
    yield opened
    opened.close()


@pytest.fixture
def tally(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tally:
    for name, value in environment(deployment.settings).items():
        if name.startswith("TALLY_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("TALLY_SIGNING_KEY", str(tmp_path / "signing-key.pem"))
    monkeypatch.chdir(tmp_path)
    return Tally(tmp_path)


async def _restore(settings: Settings, migrated: list[str]) -> None:
    opened = Connection(settings, database="default")
    for statement in migrated:
        await asyncio.to_thread(opened.execute, statement.replace("{0}", settings.database))
    opened.close()


async def _drop(settings: Settings) -> None:
    opened = Connection(settings, database="default")
    await asyncio.to_thread(opened.execute, f"DROP DATABASE IF EXISTS {settings.database} SYNC")
    opened.close()


async def _drop_topics(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        await admin.delete_topics([settings.topic_prefix + topic.name for topic in TOPICS])
    finally:
        await admin.close()
