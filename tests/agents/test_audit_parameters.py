"""What is asked of ClickHouse fits into what it takes: a parameter has 128 KiB."""

from __future__ import annotations

from agents.store.audits import CANDIDATES_AT_ONCE

FIELD_MAX = 128 * 1024  # http_max_field_value_size
LONGEST = len(str(2**48 - 1)) + 1  # an identity is 48 bits; a comma follows


def test_candidates_of_one_statement_fit_into_one_parameter() -> None:
    assert CANDIDATES_AT_ONCE * LONGEST < FIELD_MAX
