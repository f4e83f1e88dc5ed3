"""Tokens, events and probes from the command line."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agents.cli.health import _probed
from tests.cli.test_frame import ROOT, run

EVENT = {"specversion": "1.0", "id": "1", "source": "/test", "type": "llm.request", "subject": "acme/key-1",
         "time": "2026-10-05T10:00:00Z", "data": {"model": "large", "tokens_in": 5}}  # fmt: skip


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked_by_its_name(tmp_path: Path) -> None:
    made = run("tokens", "create", "eu-1", "--subject", "acme", "--source", "/acme", "--days", "30", "--json",
               home=tmp_path)  # fmt: skip
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)
    assert token["scope"] == {"subjects": ["acme"], "customers": [], "sources": ["/acme"]}
    listed = run("tokens", "list", home=tmp_path)
    assert "eu-1" in listed.stdout
    assert token["token"].split("_")[2] not in listed.stdout + (tmp_path / "tokens.json").read_text()
    again = run("tokens", "create", "eu-1", "--everything", home=tmp_path)
    assert (again.returncode, "has the name 'eu-1' already" in again.stderr) == (1, True)
    assert run("tokens", "revoke", "eu-1", "--dry-run", home=tmp_path).stdout.startswith("Would revoke eu-1")
    assert run("tokens", "revoke", "eu-1", home=tmp_path).returncode == 0
    assert run("tokens", "revoke", "eu-1", home=tmp_path).returncode == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--subject", "acme"), "say under which sources"),
        (("--source", "/acme"), "say whose usage"),
        (("--everything", "--subject", "acme"), "--everything stands alone"),
    ],
)
def test_a_token_that_does_not_say_whose_and_from_where_is_not_made(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run("tokens", "create", "eu-1", *arguments, home=tmp_path)
    assert (done.returncode, said in " ".join(done.stderr.split())) == (2, True), done.stderr


def test_an_event_is_checked_against_catalogue_files_without_any_service(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps([EVENT, {**EVENT, "time": "yesterday"}]))
    catalogue = str(ROOT / "deploy" / "catalogue" / "llm.toml")
    done = run("check-event", "event.json", "--catalogue", catalogue, "--json", home=tmp_path)
    assert done.returncode == 1, done.stderr
    event, refused = json.loads(done.stdout)
    assert (event["verdict"], event["customer"]) == ("event", "acme/key-1")
    assert {fed["meter"]: fed["value"] for fed in event["meters"]} == {
        "requests": "1", "tokens_in": "5", "tokens_out": None,
    }  # fmt: skip
    assert (refused["verdict"], refused["reason"]) == ("refused", "invalid_time")


class _Probes(BaseHTTPRequestHandler):
    ready = (200, "ready")

    def do_GET(self) -> None:
        status, said = (200, "live") if self.path == "/livez" else self.ready
        self.send_response(status)
        self.end_headers()
        self.wfile.write(f"{said}\n".encode())

    def log_message(self, format: str, *_: object) -> None:
        """Nothing on the terminal."""


def test_the_status_tells_what_a_worker_says_of_itself() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Probes) as server:
        threading.Thread(target=server.serve_forever).start()
        port = server.server_address[1]
        assert _probed(port) == "live and ready"
        _Probes.ready = (503, "clickhouse: no answer within 5 s\nkafka: too")
        assert _probed(port) == "clickhouse: no answer within 5 s"
        server.shutdown()
    assert _probed(port) == "its probes do not answer"
