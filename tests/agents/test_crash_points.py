"""Where workers die in crash runs: at whichever armed place comes first, and at every place in turn."""

from __future__ import annotations

import os
import signal

import pytest

from agents.crash_points import SAYS, CrashPoint, Step
from tests.crash.planner import KINDS, Planner


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that this process sent itself instead of dying of them."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append(number))
    return sent


def passed(point: CrashPoint, *steps: Step) -> None:
    for step in steps:
        with point.around(step):
            pass


def test_a_worker_dies_at_the_first_of_its_places_and_says_which(
    deaths: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    point = CrashPoint("commit:before:1,events:after:2,ledger:before:1")
    passed(point, Step.EVENTS, Step.CORRECTIONS)
    assert deaths == []
    passed(point, Step.EVENTS)
    assert deaths == [signal.SIGKILL]
    assert capfd.readouterr().err == f"{SAYS}events:after\n"


def test_without_places_nothing_happens(deaths: list[int]) -> None:
    passed(CrashPoint(), *Step)
    assert deaths == []


def test_every_place_is_died_at_before_any_comes_again() -> None:
    planner = Planner(each={"ingest": 2, "audit": 2, "billing": 0})
    died = []
    while planner.lacking("ingest"):
        died.append(planner.rare("ingest")[0])
        planner.died_at("ingest", died[-1])
    places = [f"{step}:{when}" for step in KINDS["ingest"] for when in ("before", "after")]
    assert died == places * 2
    assert planner.kills == len(died) and planner.share() == 1.0 and not planner.missing()


@pytest.mark.parametrize(("done", "times"), [(0.0, 1), (0.1, 1), (0.11, 2), (0.5, 5), (1.0, 10), (7.0, 10)])
def test_a_place_that_nobody_comes_to_does_not_keep_the_others_from_their_share_of_the_run(
    done: float, times: int
) -> None:
    planner = Planner(each={"ingest": 10, "audit": 0, "billing": 10})
    reached = [f"{step}:{when}" for step in KINDS["billing"] for when in ("before", "after")][1:]
    while due := [place for place in planner.due("billing", done) if place in reached]:
        planner.died_at("billing", due[0])
    assert {planner.places["billing"][place] for place in reached} == {times}
    assert planner.due("billing", done) == planner.rare("billing") == ["ticks:before"]
    assert "ticks:before 0/10" in planner.missing()
