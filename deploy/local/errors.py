"""What can go wrong with the local services, each with what to do about it."""

from __future__ import annotations


class LocalServiceError(Exception):
    """A local service could not be fetched, started or stopped. `fix` says what helps."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n  {self.fix}"
