"""Severities of alerts: how bad it is, the same word for thresholds, messages and pages."""

from __future__ import annotations

OK = "ok"
WARNING = "warning"
CRITICAL = "critical"
RANK = {OK: 0, WARNING: 1, CRITICAL: 2}
"""How bad a severity is."""
