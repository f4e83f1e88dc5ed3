"""The one byte form of a document: RFC 8785, whichever way it is made."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.identity import canonical_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
@example({"\U0001f600": 1, "\ufb01": 2, "a": '\u007f\u0000\u001f\u2028\b\f\n\r\t"\\/'})
@example({"é": [1, {"b": True, "a": None}], "e": "\ud7ff"})
@example({"a": 1.0, "b": 1e21, "c": -0.0})
@example({"10": "", "9": "", "": ("tuple",)})
def test_a_document_has_the_bytes_of_rfc_8785(content: Any) -> None:
    assert canonical_json(content) == rfc8785.dumps(content)


@pytest.mark.parametrize("content", [2**53, {"a": -(2**53)}, float("nan"), {1: "a"}, {"a": object()}, "\ud800"])
def test_what_has_no_canonical_form_is_refused(content: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_json(content)
