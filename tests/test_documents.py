"""What a reader is told is all there is: every command, setting, metric, reason and alert has its line or its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.settings import Settings
from agents.telemetry import REGISTRY
from pipeline.intake.admission import OUT_OF_SCOPE
from schemas.dead_letter import Reason
from tests.test_repository import commands

ROOT = Path(__file__).parents[1]
DEPLOY = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "deploy" / "runbook").glob("*.md")}
RULE = re.compile(
    r"      - alert: (?P<name>\w+)\n        expr: '(?P<expr>(?:[^']|'')*)'\n        for: (?P<hold>\d+[smhd])\n"
    r"        labels:\n          severity: (?P<severity>page|ticket)\n        annotations:\n"
    r"          summary: '(?P<summary>[^']+)'\n          runbook: deploy/runbook/(?P<page>\w+)\.md\n"
)
PROMETHEUS_OWN = {"up"}
FUNCTIONS = {"sum", "max", "rate", "increase", "delta", "histogram_quantile", "by", "without", "le"}


def rules() -> list[dict[str, str]]:
    return [found.groupdict() for found in RULE.finditer(ALERTS)]


def metrics() -> dict[str, str]:
    """Every sample that the exposition can hold, and the metric that it belongs to."""
    found = {}
    for family in REGISTRY.collect():
        name = family.name + ("_total" if family.type == "counter" and family.name.startswith("tally_") else "")
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        found |= {name + suffix: name for suffix in suffixes}
    return found


def test_no_row_is_left_of_what_is_gone() -> None:
    rows = (ROOT / "agents" / "cli" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(tally [^`]+)` \|", rows, re.MULTILINE)) == set(commands())
    settings = {name.lower() for name in re.findall(r"^\| `TALLY_(\w+)` \|", DEPLOY, re.MULTILINE)}
    assert settings == set(Settings.model_fields)
    documented = set(re.findall(r"^\| `(tally_\w+)` \(", DEPLOY, re.MULTILINE))
    assert documented == {name for name in metrics().values() if name.startswith("tally_")}


@pytest.mark.parametrize("reason", [*Reason, OUT_OF_SCOPE])
def test_every_reason_is_explained_to_producers(reason: str) -> None:
    assert f"`{reason}`" in (ROOT / "schemas" / "USAGE_EVENTS.md").read_text(encoding="utf-8")


def test_every_rule_is_well_formed_and_named_once() -> None:
    names = [rule["name"] for rule in rules()]
    assert len(names) == ALERTS.count("- alert:") == len(set(names)) > 15


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["name"]))
def test_an_alert_asks_for_metrics_that_exist_and_has_a_page_with_symptom_meaning_and_commands_that_exist(
    rule: dict[str, str],
) -> None:
    # Names inside of label selectors and `by (…)` are labels, not metrics.
    asked = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|without) \([^)]*\)", "", rule["expr"].replace("''", "'"))
    names = set(re.findall(r"\b[a-z][a-z_]{1,}\b", asked)) - FUNCTIONS
    assert names
    assert names <= metrics().keys() | PROMETHEUS_OWN
    assert rule["page"] == rule["name"]
    page = PAGES[rule["name"]]
    assert page.startswith(f"# {rule['name']}\n\n**Symptom.** ")
    assert "\n**Meaning.** " in page
    assert "\n**What to do.**\n\n1. " in page
    (block,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    for used in re.findall(r"\btally ((?:[a-z-]+ ?)+)", block):
        words = used.split()
        assert {f"tally {words[0]}", f"tally {' '.join(words[:2])}"} & set(commands()), used


def test_no_page_is_left_of_an_alert_that_is_gone() -> None:
    assert set(PAGES) == {rule["name"] for rule in rules()}


def test_prometheus_scrapes_the_ports_that_compose_opens() -> None:
    scraped = re.findall(
        r'targets: \["([a-z]+):(\d+)"\]', (ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8")
    )
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert scraped == [("ingest", "9464"), ("billing", "9464"), ("serve", "8420")]
    for name, port in scraped:
        assert f"\n  {name}:\n" in compose
        assert f":{port}" in compose
