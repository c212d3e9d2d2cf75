"""All checks of a folder."""

from __future__ import annotations

from proletto_otel.stack.checks import dashboards, env, files, provisioning
from proletto_otel.stack.checks.finding import ERROR, Finding, Texts


def findings(texts: Texts, shipped: Texts, folder: str = ".") -> list[Finding]:
    """What is wrong in *folder*, errors first; *shipped* are the files of this version."""
    if texts.keys().isdisjoint(shipped):
        fix = f"python -m proletto_otel stack init {folder}"
        return [Finding(folder, "there is no stack: none of its files is there", fix)]
    found = [
        *env.check(texts, folder), *files.check(texts, shipped, folder), *provisioning.check(texts),
        *dashboards.check(texts),
    ]  # fmt: skip
    return sorted(found, key=lambda finding: finding.level != ERROR)
