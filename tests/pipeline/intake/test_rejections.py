"""A flood of refusals: one source's only alerts; from three sources on, the mistake is ours and the worker stops."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pipeline.intake.rejections import RECORDS, LastRecords, judged


@pytest.mark.parametrize(
    ("refused", "records", "kind"),
    [
        ({"a": 5_000}, 10_000, None),  # half is not more than half
        ({"a": 5_001}, 10_000, "alert"),
        ({"a": 10_000}, 10_000, "alert"),
        ({"a": 2_501, "b": 2_500}, 10_000, "alert"),
        ({"a": 1_667, "b": 1_667, "c": 1_667}, 10_000, "stop"),
        ({"a": 1_667, "b": 1_667, "": 1_667}, 10_000, "stop"),  # without a readable source
        ({"a": 9_000, "b": 1, "c": 1}, 10_000, "alert"),  # strays take no part
        ({"a": 9_800, "b": 100, "c": 100}, 10_000, "alert"),  # nor does a hundredth
        ({"a": 9_798, "b": 101, "c": 101}, 10_000, "stop"),
        ({"a": 3_333, "b": 3_333, "c": 3_333}, 9_999, None),  # too few to say
        ({}, 10_000, None),
    ],
)
def test_more_than_half_of_ten_thousand_is_a_flood_and_three_sources_make_it_ours(
    refused: dict[str, int], records: int, kind: str | None
) -> None:
    flood = judged(refused, records=records)
    assert (flood.kind if flood else None) == kind


def test_a_flood_names_who_takes_part_most_refusals_first() -> None:
    flood = judged({"b": 2_000, "a": 2_000, "c": 3_000, "stray": 3}, records=10_000)
    assert flood is not None
    assert (flood.refused, flood.sources) == (7_003, (("c", 3_000), ("a", 2_000), ("b", 2_000)))


def test_only_the_last_records_count() -> None:
    last = LastRecords()
    last.refused(["a", "b", "c"] * 3_000)
    assert last.flood() is None, "fewer than ten thousand"
    last.accepted(1_000)
    assert last.flood() is not None
    last.accepted(4_000)
    assert last.flood() is None, "half of them were forgotten"
    last.accepted(50_000)
    last.refused(["a"] * 5_001)
    flood = last.flood()
    assert flood is not None and flood.sources == (("a", 5_001),)


def test_the_counts_are_those_of_the_last_records_whatever_came_before() -> None:
    rnd, last, fates = random.Random(3), LastRecords(), []
    for _ in range(400):
        count = rnd.randrange(200)
        if rnd.random() < 0.5:
            last.accepted(count)
            fates += [None] * count
        else:
            sources = [rnd.choice("abc") for _ in range(count)]
            last.refused(sources)
            fates += sources
        wanted = Counter(fate for fate in fates[-RECORDS:] if fate is not None)
        assert last.flood() == judged(wanted, records=min(len(fates), RECORDS))
