"""Every example of the documentation runs as it stands, and does what the text says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks, of_page

BLOCKS = list(blocks())
RUN = [block for block in BLOCKS if not block.skip_reason]
MAX_SKIPPED = 4
RUN_S = 1700
"""For all of them together, half a minute where nothing else runs."""
Outcome = tuple[int, str]


def missing(block: Block) -> str | None:
    """The package that *block* needs and that is not here."""
    return block.needs if block.needs and find_spec(block.needs) is None else None


def run(examples: list[Block], folder: Path) -> dict[str, Outcome]:
    """Exit status and output of each example."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PROLETTO_STRICT": "1",
        "FLASK_ENV": "development",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",  # nothing listens there
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests/docs/run_blocks.py", folder],
        input=json.dumps([block.plain() for block in examples]),
        env=environment, capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs = [(folder / str(n) / "output").read_text() for n in range(len(examples))]
    names = [block.name for block in examples]
    return dict(zip(names, zip(json.loads(done.stdout), outputs, strict=True), strict=True))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What came of each example, by name; all of them run once."""
    return run(
        [block for block in BLOCKS if not block.skip_reason], tmp_path_factory.mktemp("docs")
    )


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if not block.skip_reason], ids=lambda block: block.name
)
def test_example_runs(block: Block, outcomes: dict[str, Outcome]) -> None:
    """A reader can paste it."""
    if package := missing(block):
        pytest.skip(f"{package} is not installed: .venv/bin/pip install {package}")
    status, output = outcomes[block.name]

    assert status == 0, output


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_example_compiles(block: Block) -> None:
    """Also the few that are not run are Python."""
    compile(block.code, block.name, "exec")


def test_few_examples_are_skipped() -> None:
    """An example that is not run is the exception."""
    skipped = [block.name for block in BLOCKS if block.skip_reason]

    assert len(skipped) <= MAX_SKIPPED, skipped


def test_a_wrong_example_is_found(tmp_path: Path) -> None:
    """The machinery sees a block that raises and a check that is not met."""
    page = (
        "```python\n1 / 0\n```\n"
        "<!-- given\nx = 1\n-->\n```python\ny = x\n```\n<!-- check\nassert y == 2\n-->\n"
        "```python\nprint('fine')\n```\n"
    )
    found = run(list(of_page("page.md", page)), tmp_path)

    assert [1, 1, 0] == [status for status, _ in found.values()]
    assert "ZeroDivisionError" in found["page.md:2"][1]
    assert "assert y == 2" in found["page.md:8"][1] or "AssertionError" in found["page.md:8"][1]
