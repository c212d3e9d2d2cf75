"""docs/guarantees.md: each promise names a test that is there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.blocks import ROOT

ROW = re.compile(r"^\| (?P<number>\d+) \| .+ \| `(?P<file>[\w/.]+)::(?P<test>\w+)` \| .+ \|$", re.M)
PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
ROWS = [(found["file"], found["test"]) for found in ROW.finditer(PAGE)]


@pytest.mark.parametrize(("file", "test"), ROWS, ids=lambda value: value)
def test_named_test_is_there(file: str, test: str) -> None:
    """The test that shows a promise was not renamed or lost."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))

    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_is_read() -> None:
    """No row is left out because it is written differently; all promises have one."""
    rows = [line for line in PAGE.splitlines() if re.match(r"\| \d", line)]

    assert len(rows) == len(ROWS)
    assert {str(n) for n in range(1, 14)} == {m["number"] for m in ROW.finditer(PAGE)}
