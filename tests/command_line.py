"""The command line as a person runs it, on the deployment of a test."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from agents.cli.frame import ClearMessages, build
from tests.deployments import Deployment, environment


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Tally:
    """`tally …` as a person runs it, on the deployment of a test; in this process, which saves starting one each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def run(self, *arguments: str) -> Done:
        """Runs a command to its end."""
        return await asyncio.to_thread(_run, arguments)

    async def said(self, *arguments: str) -> str:
        """What a command that succeeds says."""
        done = await self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def json(self, *arguments: str) -> Any:
        """What a command that succeeds says to programs."""
        return json.loads(await self.said(*arguments, "--json"))

    async def refused(self, *arguments: str, code: int = 1) -> str:
        """What a command that fails with a code says about it, and nothing else."""
        done = await self.run(*arguments)
        assert done.returncode == code, f"{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def file(self, name: str, text: str) -> str:
        """A file in the folder where commands run."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name


async def tally(deployment: Deployment, *arguments: str) -> Done:
    """A command on a deployment, in this process."""
    with _environment_of(deployment):
        return await asyncio.to_thread(_run, arguments)


async def answer(deployment: Deployment, *arguments: str, code: int = 0) -> Any:
    """What a command says with --json, once its exit code is as expected."""
    done = await tally(deployment, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@contextmanager
def _environment_of(deployment: Deployment) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environment(deployment.settings))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(arguments: tuple[str, ...]) -> Done:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            with ClearMessages():
                build()(list(arguments))
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())
