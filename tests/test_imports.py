"""The layers, read from the source: schemas <- pipeline <- agents, and what each may know of the world.

Source: design.md §3. An import counts wherever it stands, inside functions too.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("schemas", "pipeline", "agents", "deploy")
WIRE = {"faust", "mode", "aiokafka", "clickhouse_connect"}
IMPURE = {
    "asyncio", "concurrent", "ctypes", "http", "io", "locale", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib",
}  # fmt: skip
CLOCK = {"now", "utcnow", "today"}

# The two modules that turn pydantic's faults into sentences for people have to know its faults.
READ_FAULTS = {"pipeline.catalogue.loading", "pipeline.catalogue.fault_texts"}


def modules(*packages: str) -> dict[str, ast.Module]:
    """Every module below the packages, by its dotted name."""
    found = {}
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return found


ALL = modules(*OURS)


def imports(tree: ast.Module) -> Iterator[str]:
    """The dotted name of everything that a module imports, from top level and functions alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (_from(node.module or "", alias.name) for alias in node.names)


def _from(module: str, name: str) -> str:
    """`from agents import clock` names a module; `from agents.clock import Tick` something inside one."""
    return f"{module}.{name}" if f"{module}.{name}" in ALL else module


def offences(layer: str, *, allowed: set[str], refused: set[str]) -> list[str]:
    """Imports of a layer that its rule does not allow: third parties by name, the standard library except some."""
    return [
        f"{name} imports {found}"
        for name, tree in ALL.items()
        if name.split(".")[0] == layer
        for found in imports(tree)
        if (top := found.split(".")[0]) not in allowed
        and (top in refused or top not in sys.stdlib_module_names)
        and not (top == "pydantic" and name in READ_FAULTS)
    ]


def actors() -> set[str]:
    """Modules whose `attach` gives agents to a Faust app."""
    return {
        name
        for name, tree in ALL.items()
        if name.count(".") == 1
        and name.startswith("agents.")
        and any(isinstance(node, ast.FunctionDef) and node.name == "attach" for node in tree.body)
    }


def test_schemas_import_only_pydantic_canonical_json_and_the_pure_standard_library() -> None:
    allowed = {"schemas", "pydantic", "pydantic_core", "rfc8785"}
    assert offences("schemas", allowed=allowed, refused=IMPURE) == []


def test_the_pipeline_imports_only_schemas_msgspec_and_the_pure_standard_library() -> None:
    assert offences("pipeline", allowed={"pipeline", "schemas", "msgspec"}, refused=IMPURE) == []


def test_no_noun_and_no_verb_reads_a_clock() -> None:
    found = [
        f"{name}:{node.lineno} .{node.func.attr}()"
        for name, tree in ALL.items()
        if name.split(".")[0] in ("schemas", "pipeline")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK
    ]
    assert found == []


def test_billing_time_is_read_from_a_wall_clock_in_one_place() -> None:
    readers = {
        name
        for name, tree in ALL.items()
        if name.split(".")[0] == "agents"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK
    }
    assert readers == {"agents.clock"}


def test_only_agents_know_kafka_faust_and_clickhouse() -> None:
    found = {name for name, tree in ALL.items() if WIRE & {one.split(".")[0] for one in imports(tree)}}
    # The sample payment service stands for a program of somebody else, which knows topics and nothing of ours.
    assert {name.split(".")[0] for name in found - {"deploy.payments.__main__"}} == {"agents"}
    assert {
        one
        for one in imports(ALL["deploy.payments.__main__"])
        if one.split(".")[0] in ("agents", "pipeline", "schemas")
    } == set()


def test_what_runs_the_servers_knows_nothing_of_the_actors() -> None:
    assert [name for name, tree in ALL.items() if name.startswith("deploy") and _uses(tree, "agents")] == []


def _uses(tree: ast.Module, package: str) -> bool:
    return any(found.split(".")[0] == package for found in imports(tree))


@pytest.mark.parametrize("actor", sorted(actors()))
def test_actors_meet_at_topics_and_tables_never_in_code(actor: str) -> None:
    assert set(imports(ALL[actor])) & (actors() - {actor}) == set()


def test_actors_are_wired_by_the_composition_root_alone() -> None:
    users = {name for name, tree in ALL.items() if set(imports(tree)) & actors()}
    assert "agents.app" in users
    assert {user for user in users if user != "agents.app" and not user.startswith("agents.cli")} == set()


def test_stores_and_below_do_not_know_who_uses_them() -> None:
    above = actors() | {"agents.app", "agents.worker", "agents.delivery"}
    found = [
        f"{name} imports {one}"
        for name, tree in ALL.items()
        if name.startswith("agents.store") or name in ("agents.topics", "agents.settings", "agents.logs")
        for one in imports(tree)
        if one in above or one.startswith("agents.cli")
    ]
    assert found == []


def test_nothing_but_the_command_line_imports_the_command_line() -> None:
    found = [
        f"{name} imports {one}"
        for name, tree in ALL.items()
        if not name.startswith("agents.cli")
        for one in imports(tree)
        if one.startswith("agents.cli")
    ]
    assert found == []


def test_help_loads_no_library_that_only_services_need() -> None:
    heavy = ("faust", "mode", "aiokafka", "clickhouse_connect", "pydantic", "msgspec", "supervisor", "psutil", "jgo")
    code = (
        "import sys\nfrom agents.cli import main\nsys.argv = ['tally', '--help']\n"
        "try:\n    main()\nfinally:\n"
        f"    print('loaded', [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    assert "Start here" in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "loaded []"
