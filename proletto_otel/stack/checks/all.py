"""All checks of a folder."""

from __future__ import annotations

from proletto_otel.stack.checks import dashboards, env, files, provisioning
from proletto_otel.stack.checks.finding import ERROR, Finding, Texts


def findings(texts: Texts, shipped: Texts) -> list[Finding]:
    """What is wrong in a folder, errors first; *shipped* are the files of this version."""
    found = [
        *env.check(texts), *files.check(texts, shipped), *provisioning.check(texts),
        *dashboards.check(texts),
    ]  # fmt: skip
    return sorted(found, key=lambda finding: finding.level != ERROR)
