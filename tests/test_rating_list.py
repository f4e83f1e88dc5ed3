"""The list of the rating rules names tests that exist, and every section."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
LISTED = (TESTS / "RATING.md").read_text(encoding="utf-8")


def test_every_test_that_the_list_names_exists() -> None:
    texts = "".join(file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)\(", texts, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", LISTED))
    assert named - there == set()
    assert len(named) > 100


def test_the_list_has_every_section_with_figures_and_what_each_refuses() -> None:
    assert set(re.findall(r"^\| §(\d+)", LISTED, re.MULTILINE)) == {str(section) for section in range(12)}
    assert set(re.findall(r"^\| §(\d+) refused", LISTED, re.MULTILINE)) == {str(section) for section in range(1, 10)}
