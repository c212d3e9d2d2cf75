"""The Grafana provisioning file of a pack: groups of rules, and the uids of rules that are gone.

The shape is the one files have, which differs from that of the HTTP API. In it Grafana replaces
`$` in titles and labels, so those have none; annotations and query models are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from proletto_otel.stack.dashboard_uids import RUNBOOK
from proletto_otel.stack.duration import prometheus_duration
from proletto_otel.stack.pack import Pack, by_group
from proletto_otel.stack.rule import VALUE, Panel, Rule

FOLDER = "Proletto"
"""The dashboards' folder, by title: a uid would make a second one, and false resolved messages."""
VALUE_TEMPLATE = '{{ printf "%.4g" $values.A.Value }}'
LOOK_BACK_S = 600


def rules_file(pack: Pack, *, runbook: str = "", before: str = "") -> dict[str, Any]:
    """The file as Grafana reads it.

    Args:
        pack: the rules.
        runbook: address of a runbook of your own, `#` and the alert's name are added; empty: the
            runbook among the dashboards.
        before: the text of the file that this one replaces: rules in it that are gone are deleted.
    """
    gone = sorted(known_uids(before) - {rule.uid for rule in pack.rules})
    deleted = {"deleteRules": [{"orgId": 1, "uid": uid} for uid in gone]} if gone else {}
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": f"proletto-{pack.name}-{group}",
                "folder": FOLDER,
                "interval": "1m",
                "rules": [_rule(rule, runbook) for rule in rules],
            }
            for group, rules in by_group(pack.rules).items()
        ],
        **deleted,
    }


def known_uids(text: str) -> set[str]:
    """Every uid that a file holds, also those it deletes: a rule stays until a file deletes it."""
    found = yaml.safe_load(text) if text else None
    if not isinstance(found, Mapping):
        return set()
    rules = [rule for group in found.get("groups") or () for rule in group.get("rules") or ()]
    return {entry["uid"] for entry in (*rules, *(found.get("deleteRules") or ()))}


def _rule(rule: Rule, runbook: str) -> dict[str, Any]:
    return {
        "uid": rule.uid,
        "title": rule.name,
        "condition": "C",
        "for": prometheus_duration(rule.wait_s),
        "keepFiringFor": prometheus_duration(rule.recover_s),
        # While a store is away every rule would say so; the store's own rule says it once.
        "noDataState": "Alerting" if rule.fires_without_data else "OK",
        "execErrState": "Alerting" if rule.fires_without_data else "KeepLast",
        "missing_series_evals_to_resolve": 2,
        "isPaused": rule.paused,
        "labels": rule.all_labels,
        "annotations": _annotations(rule, runbook),
        "data": _queries(rule),
    }


def _annotations(rule: Rule, runbook: str) -> dict[str, str]:
    page = Panel(dashboard=RUNBOOK, title=rule.runbook or rule.base)
    return {
        "summary": rule.summary.replace(VALUE, VALUE_TEMPLATE),
        "description": rule.description,
        "runbook_url": f"{runbook}#{rule.anchor}"
        if runbook
        else f"/d/{RUNBOOK}?viewPanel={page.id}",
        # Both, as annotations: only then does Slack get a link to the panel.
        "__dashboardUid__": rule.panel.dashboard,
        "__panelId__": str(rule.panel.id),
    }


def _queries(rule: Rule) -> list[dict[str, Any]]:
    """The value of the rule (A), and whether it is in the rule's band (C)."""
    value = {
        "refId": "A",
        "datasourceUid": "prometheus",
        "relativeTimeRange": {"from": LOOK_BACK_S, "to": 0},
        "model": {"refId": "A", "expr": rule.expression, "instant": True, "range": False},
    }
    condition = {
        "refId": "C",
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": "C", "type": "math", "expression": rule.band.math("A")},
    }
    return [value, condition]
