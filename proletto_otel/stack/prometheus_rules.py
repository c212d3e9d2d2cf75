"""The Prometheus files: recorded series, which Prometheus loads, and the alerts' twin.

The twin is for `promtool test rules`; Prometheus does not load it, because Grafana alerts.
"""

from __future__ import annotations

from typing import Any

from proletto_otel.stack.duration import prometheus_duration
from proletto_otel.stack.pack import Pack, by_group
from proletto_otel.stack.rule import VALUE, Rule

VALUE_TEMPLATE = '{{ printf "%.4g" $value }}'


def recording_file(pack: Pack) -> dict[str, Any]:
    """The recorded series, those of one interval in one group."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for recorded in pack.recorded:
        labels = {"labels": {"slo": recorded.slo}} if recorded.slo else {}
        rule = {"record": recorded.name, "expr": recorded.expression, **labels}
        groups.setdefault(recorded.every, []).append(rule)
    return {
        "groups": [
            {"name": f"proletto-{pack.name}-{every}", "interval": every, "rules": rules}
            for every, rules in groups.items()
        ]
    }


def alerting_file(pack: Pack) -> dict[str, Any]:
    """The twin: the same alerts, the band inside the expression."""
    return {
        "groups": [
            {
                "name": f"proletto-{pack.name}-{group}",
                "interval": "1m",
                "rules": [_alert(rule) for rule in rules],
            }
            for group, rules in by_group(pack.rules).items()
        ]
    }


def _alert(rule: Rule) -> dict[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.band.promql(rule.expression),
        "for": prometheus_duration(rule.wait_s),
        "keep_firing_for": prometheus_duration(rule.recover_s),
        "labels": rule.all_labels,
        "annotations": {"summary": rule.summary.replace(VALUE, VALUE_TEMPLATE)},
    }
