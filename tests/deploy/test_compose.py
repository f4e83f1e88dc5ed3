"""docker-compose.yml: exact images, health checks, this machine only, and the settings of the local servers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agents.settings import Settings
from deploy.demo.sample import lines
from deploy.local import configs
from pipeline.intake.validation import Rejection, validate
from tests.services import CLICKHOUSE_IMAGE, KAFKA_IMAGE

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def services() -> Mapping[str, str]:
    """Each service with its text."""
    (text,) = re.findall(r"^services:\n(.*?)^volumes:", COMPOSE, re.DOTALL | re.MULTILINE)
    return dict(re.findall(r"^  ([a-z]+):\n((?:    .*\n|\n|  #.*\n)+)", text, re.MULTILINE))


def test_the_system_is_two_servers_a_preparation_two_workers_http_if_wanted_and_two_tools() -> None:
    assert list(services()) == ["kafka", "clickhouse", "init", "ingest", "billing", "serve", "sample", "tally"]


def test_every_image_has_an_exact_version() -> None:
    images = re.findall(r"image: (\S+)", COMPOSE) + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 5
    assert [image for image in images if not re.search(r":\d+\.\d+\.\d+", image)] == []


def test_the_tests_run_on_the_images_that_compose_runs() -> None:
    assert f"image: {KAFKA_IMAGE}\n" in services()["kafka"]
    assert f"image: {CLICKHOUSE_IMAGE}\n" in services()["clickhouse"]


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [line for text in services().values() for line in re.findall(r'^      - "(.*:\d+)"$', text, re.MULTILINE)]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["kafka", "clickhouse"])
def test_a_server_is_checked_restarted_and_keeps_its_storage_in_a_named_volume(name: str) -> None:
    text = services()[name]
    assert "healthcheck:" in text
    assert "restart: unless-stopped" in text
    assert f"      - {name}:/var/lib/" in text
    assert re.search(rf"^volumes:\n(  .*\n)*  {name}:$", COMPOSE, re.MULTILINE)


@pytest.mark.parametrize("name", ["ingest", "billing"])
def test_a_worker_is_checked_restarted_and_waits_for_topics_and_tables(name: str) -> None:
    (worker,) = re.findall(r"^x-worker: .*?(?=^services:)", COMPOSE, re.DOTALL | re.MULTILINE)
    assert "<<: *worker" in services()[name]
    for line in ("restart: unless-stopped", "healthcheck:", "condition: service_completed_successfully"):
        assert line in worker


def test_health_is_liveness_at_the_port_that_is_set_so_that_a_store_that_is_away_restarts_nobody() -> None:
    (worker,) = re.findall(r"^x-worker: .*?(?=^services:)", COMPOSE, re.DOTALL | re.MULTILINE)
    assert 'TALLY_METRICS_PORT: "9464"' in worker
    assert "http://127.0.0.1:9464/livez" in worker
    assert "http://127.0.0.1:8420/livez" in services()["serve"]
    assert Settings.model_fields["serve_port"].default == 8420


def profile(text: str, name: str) -> Mapping[str, str]:
    """The settings of a profile in a ClickHouse configuration."""
    found = ElementTree.fromstring(text).find(f"profiles/{name}")
    assert found is not None
    return {setting.tag: str(setting.text) for setting in found}


def test_clickhouse_behaves_as_the_local_server_does() -> None:
    in_docker = (ROOT / "deploy" / "clickhouse" / "profile.xml").read_text(encoding="utf-8")
    local = profile(configs.USERS, "tally")
    for_bound_values = profile(configs.USERS, "default")  # which is read before a user's own
    assert profile(in_docker, "default") == {**local, **for_bound_values}
    assert for_bound_values == {"http_max_field_value_size": str(256 * 1024 * 1024)}
    assert local["async_insert"] == "0"


def test_kafka_behaves_as_the_local_server_does() -> None:
    local = dict(line.split("=", 1) for line in configs.KAFKA.splitlines() if "=" in line and not line.startswith("#"))
    # Where a server listens, where it keeps its log and how many threads it has may differ.
    of_the_place = re.compile(r"listener|voters|log\.dirs|threads|cleaner")
    for name, value in local.items():
        if not of_the_place.search(name):
            variable = "KAFKA_" + name.replace(".", "_").upper()
            assert re.search(rf'^      {variable}: "?{re.escape(value)}"?$', services()["kafka"], re.MULTILINE), name


def test_the_engine_is_sent_only_what_the_wheel_is_made_of() -> None:
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = set(re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE))
    assert sent == {name for names in copied for name in names.split()}


def test_the_file_is_valid_for_docker_compose() -> None:
    plugin = (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    )
    command = ["docker", "compose"] if plugin else ["docker-compose"] if shutil.which("docker-compose") else None
    if command is None:
        pytest.skip("no docker compose on this machine")
    done = subprocess.run([*command, "config", "-q"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sample_usage_is_valid_belongs_to_now_and_is_new_in_each_run() -> None:
    found = [json.loads(line) for line in lines("monday", 200)]
    for event, line in zip(found, lines("monday", 200), strict=True):
        assert "time" not in event
        verdict = validate(line.encode(), event["subject"].encode(), (), 1_793_000_000_000, wall_clock=True)
        assert not isinstance(verdict, Rejection)
    assert len({(event["source"], event["id"]) for event in found}) == 200
    assert {event["data"]["model"] for event in found} == {"small", "medium", "large"}
    assert not {event["id"] for event in found} & {json.loads(line)["id"] for line in lines("tuesday", 200)}
