"""What a newcomer runs first: the Makefile explains itself, and a machine that lacks something is told what."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = ("help", "setup", "demo", "test", "check", "up", "down", "lock")


def make(*arguments: str) -> str:
    done = subprocess.run(["make", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_make_alone_explains_every_target(target: str) -> None:
    assert re.search(rf"^  make {target} +\S.{{10,}}$", make(), re.MULTILINE)


def test_nothing_is_a_target_without_an_explanation() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def test_a_trace_is_handed_to_the_demo_even_with_a_blank_in_its_path() -> None:
    assert 'tally demo --trace "a b.csv"' in make("--dry-run", "--old-file=.venv/.installed", "demo", "TRACE=a b.csv")
    assert "--trace" not in make("--dry-run", "--old-file=.venv/.installed", "demo")


def test_the_environment_is_made_anew_only_after_a_change_of_what_is_pinned() -> None:
    (needs,) = re.findall(r"^\$\(STAMP\): (.*)$", MAKEFILE, re.MULTILINE)
    assert set(needs.split()) == {"requirements.lock", "pyproject.toml", "deploy/local/venv.sh"}


def interpreter(folder: Path, name: str, *, version: tuple[int, int], ensurepip: bool = True) -> Path:
    """A stand-in that answers what the script asks of a Python of that version."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(
        f"""#!{sys.executable} -I
import sys
wanted = sys.argv[2] if sys.argv[1] == "-c" else ""
if sys.argv[1] == "--version":
    print("Python {version[0]}.{version[1]}.0")
elif "sys.exit" in wanted:
    sys.exit({version} < (3, 11))
elif "%d.%d" in wanted:
    print("{version[0]}.{version[1]}")
elif "ensurepip" in wanted:
    sys.exit({not ensurepip})
else:
    sys.exit("asked for more than was expected")
"""
    )
    file.chmod(0o755)
    return file


def set_up(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script where only the stand-ins are on the path."""
    return subprocess.run(
        ["/bin/sh", str(ROOT / "deploy" / "local" / "venv.sh"), str(tmp_path / "venv"), "requirements.lock"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path / "bin"), **environment},
    )


def test_a_machine_with_an_old_python_is_told_which_it_has_and_what_to_install(tmp_path: Path) -> None:
    interpreter(tmp_path / "bin", "python3", version=(3, 9))
    done = set_up(tmp_path)
    assert done.returncode == 1
    assert "no Python 3.11 or newer was found, only: Python 3.9.0" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_interpreter_that_was_named_and_is_too_old_is_refused(tmp_path: Path) -> None:
    old = interpreter(tmp_path / "bin", "python3.10", version=(3, 10))
    interpreter(tmp_path / "bin", "python3", version=(3, 12))
    done = set_up(tmp_path, PYTHON=str(old))
    assert done.returncode == 1
    assert f"PYTHON={old} is not a Python 3.11 or newer: Python 3.10.0" in done.stderr


def test_without_ensurepip_the_package_to_install_is_named(tmp_path: Path) -> None:
    interpreter(tmp_path / "bin", "python3", version=(3, 9))
    interpreter(tmp_path / "bin", "python3.12", version=(3, 12), ensurepip=False)
    done = set_up(tmp_path)
    assert done.returncode == 1
    assert "its ensurepip is missing" in done.stderr
    assert "apt install python3.12-venv" in done.stderr


def test_the_oldest_python_is_the_same_wherever_it_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert "(3, 11)" in (ROOT / "deploy" / "local" / "venv.sh").read_text(encoding="utf-8")


def test_ci_runs_what_the_readme_says_and_reads_no_input() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("check", "test", "demo"):
        assert f"make --no-print-directory {command}\n" in script
    assert "exec </dev/null" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
