"""Code blocks of the documentation, with what stands around them unseen by the reader.

A ```python block may have two comments in the page's source, which a reader of the page does not
see: `<!-- given … -->` right before it is run first (what the block takes for granted), and
`<!-- check … -->` right after it is run last (that the block did what the text says). A block whose
first line is `# doctest: skip <reason>` is compiled, not run. `# needs: celery` in what is given
names a package without which it is not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "examples/**/*.md")

_BLOCK = re.compile(
    r"(?:<!-- given\n(?P<given>.*?)-->\n+)?"
    r"^(?P<indent> *)```python\n(?P<code>.*?)^ *```$"
    r"(?:\n+<!-- check\n(?P<check>.*?)-->)?",
    re.DOTALL | re.MULTILINE,
)
_NEEDS = re.compile(r"# needs: (?P<package>\w+)")
_SKIP = re.compile(r"# doctest: skip (?P<reason>\S.*)")


@dataclass(frozen=True)
class Block:
    """One example."""

    page: str
    line: int
    """Line of its first line of code in the page."""
    code: str
    given: str = ""
    check: str = ""

    @property
    def name(self) -> str:
        """Where it stands: `README.md:12`."""
        return f"{self.page}:{self.line}"

    @property
    def skip_reason(self) -> str:
        """Why it is not run; empty when it is."""
        found = _SKIP.match(self.code)
        return found["reason"] if found else ""

    @property
    def needs(self) -> str:
        """The package it needs beside the project's own, if any."""
        found = _NEEDS.search(self.given)
        return found["package"] if found else ""

    def plain(self) -> dict[str, object]:
        """As JSON takes it."""
        return asdict(self)


def blocks() -> Iterator[Block]:
    """All examples of all pages."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            yield from of_page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def of_page(page: str, text: str) -> Iterator[Block]:
    """The examples of one page's source."""
    for found in _BLOCK.finditer(text):
        indent = found["indent"]
        code = re.sub(f"^{indent}", "", found["code"], flags=re.MULTILINE)
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(page, line, code, found["given"] or "", found["check"] or "")
