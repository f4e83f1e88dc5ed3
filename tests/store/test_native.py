"""Columns in Native format: every value comes out as it went in, short or long, once or again and again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from agents.store.native import blobs, block, numbers, texts


def read_texts(column: bytes) -> list[bytes]:
    """A String column read as ClickHouse reads it: a LEB128 length, then so many bytes."""
    found, at = [], 0
    while at < len(column):
        length = shift = 0
        while True:
            byte = column[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        found.append(column[at : at + length])
        at += length
    return found


@given(st.lists(st.text(max_size=300)))
@example(["", ""])
@example(["é" * 127, "a"])
@example(["a"] * 127 + ["b" * 128])
@example(["/gateway/eu-1"] * 400 + ["x" * 5000])
@example(["a" * 127, "b" * 128, ""])
def test_a_column_of_texts_is_their_utf8_each_with_its_length(values: list[str]) -> None:
    assert read_texts(texts(values)) == [value.encode() for value in values]


@given(st.lists(st.binary(max_size=300)))
@example([b"x" * 4095, b"y" * 4096, b""])
@example([b"x" * 2_000_000])
def test_a_column_of_bytes_is_the_bytes_each_with_its_length(values: list[bytes]) -> None:
    assert read_texts(blobs(values)) == values


def test_a_block_says_its_columns_and_rows_and_numbers_are_little_endian() -> None:
    column = numbers("H", [1, 515])
    assert column == b"\x01\x00\x03\x02"
    assert block([("k", "UInt16", column)], 2) == b"\x01\x02" + b"\x01k" + b"\x06UInt16" + column
