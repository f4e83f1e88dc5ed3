"""What a home remembers: ports that are nobody else's, a state that is whole, one process at a time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from deploy.local import LocalServiceError, Ports, find, ports, state
from deploy.local.places import exclusive

ROOT = Path(__file__).parents[2]
CURRENT = Ports(kafka=19_500, controller=19_501, clickhouse=19_600)


@pytest.fixture(autouse=True)
def cache_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def new(home: Path) -> state.LocalSystem:
    home.mkdir()
    system = state.create(home, ports.choose(home))
    ports.claim(home)
    return system


def test_two_homes_never_have_a_port_in_common_even_while_both_are_down(tmp_path: Path) -> None:
    homes = [new(tmp_path / name) for name in ("one", "two", "three")]
    assert len({port for home in homes for port in asdict(home.ports).values()}) == 9


def test_the_ports_of_a_home_that_was_removed_are_given_again(tmp_path: Path) -> None:
    first = new(tmp_path / "one").ports
    assert ports.choose(tmp_path / "two") != first
    ports.release(tmp_path / "one")
    assert ports.choose(tmp_path / "two") == first


def test_a_home_whose_state_cannot_be_read_does_not_keep_others_from_starting(tmp_path: Path) -> None:
    first = new(tmp_path / "one").ports
    (tmp_path / "one" / "state.json").write_text("{")
    assert ports.choose(tmp_path / "two") == first


def test_a_taken_port_is_named_with_its_holder_and_a_way_out(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "DYING_WITHIN_S", 0)
    with pytest.raises(LocalServiceError) as refused:
        ports.check(Ports(kafka=taken_port, controller=1, clickhouse=2))
    assert f"port {taken_port} (kafka) is taken by " in str(refused.value)
    assert f"(pid {os.getpid()})" in str(refused.value)
    assert "tally up --kafka-port" in str(refused.value)


def test_ports_that_were_asked_for_replace_only_themselves() -> None:
    assert ports.asked(CURRENT, kafka=None, clickhouse=19_700) == Ports(19_500, 19_501, 19_700)
    moved = ports.asked(CURRENT, kafka=19_510, clickhouse=None)
    assert (moved.kafka, moved.clickhouse) == (19_510, 19_600)
    assert moved.controller > 19_510


def test_asking_for_the_ports_that_are_there_changes_nothing() -> None:
    assert ports.asked(CURRENT, kafka=19_500, clickhouse=19_600) == CURRENT


def test_the_controller_makes_way_for_a_port_that_was_asked_for() -> None:
    moved = ports.asked(CURRENT, kafka=None, clickhouse=19_501)
    assert moved.clickhouse == 19_501
    assert moved.controller not in (19_500, 19_501)


@pytest.mark.parametrize(
    ("kafka", "clickhouse", "said"),
    [(0, None, "no port 0"), (None, 65_536, "no port 65536"), (7, 7, "cannot both have port 7")],
)
def test_ports_that_cannot_be_are_refused(kafka: int | None, clickhouse: int | None, said: str) -> None:
    with pytest.raises(LocalServiceError, match=said):
        ports.asked(CURRENT, kafka=kafka, clickhouse=clickhouse)


def test_a_state_is_read_as_it_was_written_and_only_by_its_owner(tmp_path: Path) -> None:
    system = new(tmp_path / "home")
    assert find(tmp_path / "home") == system
    assert (tmp_path / "home" / "state.json").stat().st_mode & 0o077 == 0


def test_a_home_that_was_never_used_has_no_system(tmp_path: Path) -> None:
    assert find(tmp_path / "nothing") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ports": {"kafka": 1}, "password": ""}'])
def test_a_damaged_state_is_named_with_what_helps(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(LocalServiceError, match=r"state\.json is damaged.*\n.*rm -r"):
        find(tmp_path)


def test_the_control_socket_of_a_home_with_a_long_path_lies_elsewhere(tmp_path: Path) -> None:
    near = state.LocalSystem(Path("/x"), CURRENT, "")
    far = state.LocalSystem(tmp_path / ("long" * 30), CURRENT, "")
    assert near.control == Path("/x/supervisor.sock")
    assert len(str(far.control)) <= state.SOCKET_PATH_BYTES
    assert far.control != state.LocalSystem(tmp_path / ("lang" * 30), CURRENT, "").control


def test_a_second_process_waits_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = f"""
import time
from pathlib import Path
from deploy.local.places import exclusive
with exclusive(Path({str(lock)!r}), waiting=lambda: None, within_s=1):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    told: list[str] = []
    with (
        pytest.raises(LocalServiceError, match="another tally holds"),
        exclusive(lock, waiting=lambda: told.append("waiting"), within_s=0.25),
    ):
        raise AssertionError("two at a time")
    assert told == ["waiting"]
    holder.kill()
    holder.communicate()
    began = time.monotonic()
    with exclusive(lock, waiting=lambda: None, within_s=5):
        assert time.monotonic() - began < 1
