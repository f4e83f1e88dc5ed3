"""The command line's frame: grouped help with examples, one table of exit codes, a start that costs little."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from agents.cli.exit_codes import MEANINGS, ROUTES, route_of
from agents.cli.frame import ClearMessages, build
from agents.topics import TopicMissing

ROOT = Path(__file__).parents[2]


def group() -> TyperGroup:
    found = typer.main.get_command(build())
    assert isinstance(found, TyperGroup)
    return found


def run(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agents.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TALLY_HOME": str(home), **environment},
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", sorted(group().commands))
def test_every_command_has_help_with_an_example_and_a_group(name: str) -> None:
    command = group().commands[name]
    assert command.help
    assert re.match(rf"Example: (.* \| )?tally {name}\b", str(command.epilog))
    assert getattr(command, "rich_help_panel", None) in {
        "Start here", "Produce usage", "Look", "Money", "Prove", "Operate"
    }  # fmt: skip


@pytest.mark.parametrize("place", sorted(ROUTES))
def test_every_failure_in_the_table_exists_and_leads_to_a_code_with_a_meaning(place: str) -> None:
    module, name = place.rsplit(".", 1)
    failure = getattr(import_module(module), name)
    assert route_of(failure) == ROUTES[place]
    assert ROUTES[place].code in MEANINGS


def test_the_most_specific_failure_decides_the_code() -> None:
    route = route_of(TopicMissing)
    assert route is not None
    assert MEANINGS[route.code].startswith("no such")


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    assert route_of(ZeroDivisionError) is None
    with pytest.raises(ZeroDivisionError), ClearMessages():
        _ = 1 // 0


def test_a_command_without_services_takes_less_than_300_ms_of_a_core(tmp_path: Path) -> None:
    # Not of a clock: on a busy machine a command waits for others, which is not its doing.
    assert min(core_seconds(lambda: run("--help", home=tmp_path)) for _ in range(3)) < 0.3


def core_seconds(start: Callable[[], object]) -> float:
    """What the processes that are started by this take of a core."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_frame_loads_no_library_that_only_services_need() -> None:
    heavy = ("aiokafka", "faust", "clickhouse_connect", "pydantic", "msgspec", "asyncio", "rich.progress")
    code = f"import sys, agents.cli.frame as f; f.build(); print([m for m in {heavy!r} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nonsense",), 2, "No such command"),
        (("worker", "nobody"), 2, "nobody"),
        (("tail", "usage.events", "--from", "yesterday"), 2, "yesterday"),
        (("publish", "absent.jsonl"), 4, "absent.jsonl: no such file"),
        (("topics",), 3, "Kafka at 127.0.0.1:1"),
        (("tail", "usage.events"), 3, "tally up"),
        (("migrate",), 3, "ClickHouse at http://127.0.0.1:1"),
        (("topics",), 3, "TALLY_KAFKA"),
    ],
)
def test_a_failure_says_what_where_and_how_to_go_on(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    nowhere = {"TALLY_KAFKA": "127.0.0.1:1", "TALLY_CLICKHOUSE": "http://127.0.0.1:1"}
    done = run(*arguments, home=tmp_path, **nowhere)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_bare_command_shows_the_status_and_the_next_step(tmp_path: Path) -> None:
    done = run(home=tmp_path, TALLY_KAFKA="127.0.0.1:1", TALLY_CLICKHOUSE="http://127.0.0.1:1")
    assert done.returncode == 1
    assert "does not answer" in done.stdout
    assert done.stdout.strip().endswith("Next: tally up")


def test_down_on_a_machine_that_never_ran_anything_has_nothing_to_stop(tmp_path: Path) -> None:
    done = run("down", home=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "Nothing to stop: no local system was ever started here.")
