"""Links inside the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
LINKS = [
    (path.relative_to(ROOT).as_posix(), target, anchor)
    for pattern in PAGES
    for path in sorted(ROOT.glob(pattern))
    for target, anchor in _LINK.findall(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "target", "anchor"), LINKS)
def test_link_leads_somewhere(page: str, target: str, anchor: str) -> None:
    """The file is there, and the heading too."""
    path = (ROOT / page).parent / target if target else ROOT / page

    assert path.exists()
    if anchor:
        assert anchor in anchors(path)


def anchors(path: Path) -> set[str]:
    """The anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
