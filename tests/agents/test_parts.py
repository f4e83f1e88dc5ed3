"""What is asked of ClickHouse about many goes in parts that it takes: a bound value has 128 KiB."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.store.parts import BOUND_MAX, bound_bytes, in_parts

FIELD_MAX = 128 * 1024  # http_max_field_value_size
IDS = [f"00000000-0000-5000-8000-{number:012}" for number in range(10_000)]


def test_ids_of_ten_thousand_documents_go_in_a_few_parts_and_none_is_left_out() -> None:
    parts = list(in_parts(IDS))
    assert len(parts) == 4
    assert [each for part in parts for each in part] == IDS
    assert max(len(repr(part).replace(" ", "")) for part in parts) < FIELD_MAX


def test_nothing_is_asked_about_nothing_and_what_is_too_long_alone_goes_alone() -> None:
    assert list(in_parts([])) == []
    assert list(in_parts(["a", "b" * BOUND_MAX, "c"])) == [["a"], ["b" * BOUND_MAX], ["c"]]


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=60))
def test_pairs_stay_together_and_in_order(pairs: list[tuple[str, str]]) -> None:
    assert [pair for part in in_parts(pairs, "".join) for pair in part] == pairs


def test_quotes_and_backslashes_are_counted_as_they_are_escaped() -> None:
    assert bound_bytes("it's \\ ü") == len("'it\\'s \\\\ ',") + len("ü".encode())
