"""`tally bench` tells what it measured beside what it is held to."""

from __future__ import annotations

import pytest

from agents.bench.events import Traffic, records
from agents.bench.figures import Figures
from agents.bench.latency import Watched, share
from agents.bench.run import PARTS
from agents.cli.bench import Part
from pipeline.intake.validation import Event, validate


def test_a_figure_is_reached_or_missed_by_its_bound_and_untargeted_ones_are_told() -> None:
    figures = Figures()
    figures.add("line", "worker", 3.5, "µs/event", at_most=3.5)
    figures.add("line", "rate", 219_999, "events/s", at_least=220_000)
    figures.add("line", "ClickHouse", 1.5, "µs/event")
    assert [each.verdict for each in figures.found] == ["reached", "missed", ""]


def test_ratios_are_told_first_and_only_of_what_was_measured() -> None:
    figures = Figures()
    figures.add("line", "worker", 2.0, "µs/event")
    figures.add("stock", "CPU", 80.0, "µs/event")
    figures.ratio("stock / ours", ("stock", "CPU"), ("line", "worker"), at_least=20)
    figures.ratio("getmany / ours", ("getmany", "CPU"), ("line", "worker"))
    (ratio, *others) = figures.document()
    assert (ratio["name"], ratio["value"], ratio["verdict"]) == ("stock / ours", 40.0, "reached")
    assert [each["name"] for each in others] == ["worker", "CPU"]


def test_the_delay_of_an_event_ends_at_the_first_answer_that_counts_it() -> None:
    watched = Watched(produced=[1.0, 1.1, 1.2, 9.0], seen=[(1.15, 0), (1.25, 2), (1.5, 3)])
    assert watched.delays_ms() == pytest.approx([150, 250, 300])
    assert share([1, 2, 3, 4], 50) == 3
    assert share([1, 2, 3, 4], 99) == 4


def test_the_traffic_is_the_same_on_every_machine_and_every_event_of_it_is_accepted() -> None:
    made = list(records(Traffic(2_000)))
    assert made == list(records(Traffic(2_000)))
    assert 2_000 < len(made) < 2_050
    assert len(set(made)) == 2_000
    assert 295 <= sum(len(value) for _, value in made) / len(made) <= 315
    for key, value in made:
        verdict = validate(value, key, (), 1_800_000_000_000, wall_clock=False)
        assert isinstance(verdict, Event)
        assert verdict.flags == 0


def test_every_part_of_the_run_can_be_asked_for_alone() -> None:
    assert [each.value for each in Part] == list(PARTS)
