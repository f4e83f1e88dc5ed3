"""A fault is told with its line: every key, table and element of a list is where the file says it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.catalogue_files import example_folder
from pipeline.catalogue.fault_texts import Steps, path_text
from pipeline.catalogue.toml_lines import line_numbers, line_of

TEXT = '''
# a comment with [[plans]] in it
top = "a # no comment"

[[plans]]
id = "first" # ] }
words = """
[[plans]]
id = "not a key"
"""
[[plans]]
"id" = 'C:\\'
price.model = "graduated"
price . tiers = [
  { up_to = "5", tags = ["a", "b"] }, # the first
  { unit_price = 3 },
]
[[plans.rate_cards]]
id = "x"
[[plans.rate_cards]]
id = "y"
[plans.rate_cards.price]
model = "flat"
[other.deep]
"with.dot" = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("top", 3),
        ("plans[0]", 5),
        ("plans[0].id", 6),
        ("plans[1]", 11),
        ("plans[1].id", 12),
        ("plans[1].price", 13),
        ("plans[1].price.tiers", 14),
        ("plans[1].price.tiers[0]", 15),
        ("plans[1].price.tiers[0].tags[1]", 15),
        ("plans[1].price.tiers[1].unit_price", 16),
        ("plans[1].rate_cards[0].id", 19),
        ("plans[1].rate_cards[1].id", 21),
        ("plans[1].rate_cards[1].price.model", 23),
        ("other.deep.with.dot", 25),
    ],
)
def test_every_path_has_the_line_where_it_is_written(path: str, line: int) -> None:
    assert tomllib.loads(TEXT)
    assert line_of(line_numbers(TEXT), path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [("plans[0].currency", 5), ("plans[1].price.tiers[1].up_to", 16), ("plans[7].id", 0), ("nowhere", 0), ("", 0)],
)
def test_what_is_missing_has_the_line_of_the_table_where_it_should_be(path: str, line: int) -> None:
    assert line_of(line_numbers(TEXT), path) == line


def paths(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    if steps:
        yield steps
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in pairs:
        yield from paths(below, (*steps, step))


def test_the_example_says_everything_where_it_is_found() -> None:
    for file in example_folder().glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        lines = line_numbers(text)
        for steps in paths(tomllib.loads(text)):
            if path_text(steps) not in lines:  # only the list of tables itself is nowhere: its tables are
                assert path_text((*steps, 0)) in lines
            elif isinstance(steps[-1], str):
                assert steps[-1] in text.splitlines()[lines[path_text(steps)] - 1]


keys = st.sampled_from(["a", "b", "c-1", "d_2"])
scalars = st.sampled_from(['"x"', "'y'", "1.5", "true", "2026-01-01", '"a\\"]b"', "'{'", '"""m\n]"""', "'''\n\"'''"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: "[\n" + ", # ]\n".join(each) + "\n]"),
        st.dictionaries(keys, inner, max_size=3).map(
            lambda pairs: "{ " + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + " }"
        ),
    ),
    max_leaves=6,
)


@given(st.dictionaries(keys, values, min_size=1), st.dictionaries(keys, values))
def test_every_path_of_any_file_is_found_and_no_other(first: dict[str, str], second: dict[str, str]) -> None:
    tables = (first, second)
    text = "".join("\n".join(["[[t]]", *(f"{key} = {value}" for key, value in table.items()), ""]) for table in tables)
    written = {path_text(steps) for steps in paths(tomllib.loads(text))} - {"t"}
    assert set(line_numbers(text)) == written
