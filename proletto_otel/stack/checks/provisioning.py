"""Grafana's provisioning files: what stops Grafana at start, and what it ignores in silence.

One bad file under `alerting/` or `datasources/` ends Grafana at start; an unknown key only costs
the feature. Measured on Grafana 12.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proletto_otel.stack.checks.finding import Finding, Texts, documents

SOURCES = {"prometheus", "loki", "tempo"}
KEYS: Mapping[str, set[str]] = {
    "file": {
        "apiVersion", "groups", "deleteRules", "contactPoints", "deleteContactPoints", "policies",
        "resetPolicies", "templates", "deleteTemplates", "muteTimes", "deleteMuteTimes",
    },
    "group": {"orgId", "name", "folder", "interval", "rules"},
    "rule": {
        "uid", "title", "condition", "data", "for", "keepFiringFor", "noDataState", "execErrState",
        "missing_series_evals_to_resolve", "labels", "annotations", "isPaused",
        "notification_settings", "record",
    },
    "query": {"refId", "queryType", "relativeTimeRange", "datasourceUid", "model"},
    "route": {
        "orgId", "receiver", "group_by", "group_wait", "group_interval", "repeat_interval",
        "routes", "object_matchers", "matchers", "mute_time_intervals", "active_time_intervals",
        "continue",
    },
    "receiver": {"uid", "type", "settings", "disableResolveMessage"},
}  # fmt: skip
STATES = {
    "noDataState": {"NoData", "OK", "KeepLast", "Alerting"},
    "execErrState": {"Error", "OK", "KeepLast", "Alerting"},
}
DURATION = r"(\d+(ms|[smhdwy]))+"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000, "ms": 0}
ALERTING = "grafana/provisioning/alerting/"
POINTS = "grafana/contact-points/"


def check(texts: Texts) -> Iterator[Finding]:
    """Findings about rules, contact points, policies and data sources."""
    seen: dict[str, str] = {}
    for path, document in documents(texts, ALERTING):
        yield from check_keys(path, "file", document, "the file")
        yield from check_version(path, document)
        for group in document.get("groups") or ():
            yield from check_group(path, group, seen)
    receivers: dict[str, set[str]] = {}
    for path, document in documents(texts, POINTS):
        yield from check_version(path, document)
        yield from check_contact_points(path, document)
        receivers[path] = {point.get("name") for point in document.get("contactPoints") or ()}
    for path, document in documents(texts, ALERTING):
        for tree in document.get("policies") or ():
            yield from check_policy(path, tree, receivers, root=True)
    for path, document in documents(texts, "grafana/provisioning/datasources/"):
        yield from check_version(path, document)
        yield from check_data_sources(path, document.get("datasources") or ())


def check_keys(path: str, kind: str, found: Mapping[str, Any], what: str) -> Iterator[Finding]:
    """Keys that Grafana does not know."""
    for key in found:
        if key not in KEYS[kind]:
            problem = f"{what} has the key `{key}`, which Grafana ignores"
            yield Finding(path, problem, f"one of {', '.join(sorted(KEYS[kind]))}")


def check_version(path: str, document: Mapping[str, Any]) -> Iterator[Finding]:
    """`apiVersion: 1` is there."""
    if document.get("apiVersion") != 1:
        yield Finding(path, "`apiVersion: 1` is missing", "write it in the first line")


def check_group(path: str, group: Mapping[str, Any], seen: dict[str, str]) -> Iterator[Finding]:
    """One group of alert rules, and its rules."""
    what = f"group {group.get('name')!r}"
    yield from check_keys(path, "group", group, what)
    for key in ("name", "folder"):
        if not group.get(key):
            yield Finding(path, f"{what} has no {key}", f"write `{key}:`")
    if not _multiple_of_ten(str(group.get("interval", ""))):
        fix = "a multiple of 10 s, such as 1m"
        yield Finding(path, f"{what} has the interval {group.get('interval')}", fix)
    for rule in group.get("rules") or ():
        yield from check_rule(path, rule, seen)


def _multiple_of_ten(text: str) -> bool:
    if not re.fullmatch(DURATION, text):
        return False
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    # Grafana evaluates every 10 s and refuses a group with another interval at its start.
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    return seconds > 0 and seconds % 10 == 0


def check_rule(path: str, rule: Mapping[str, Any], seen: dict[str, str]) -> Iterator[Finding]:
    """One alert rule."""
    uid, title = str(rule.get("uid", "")), str(rule.get("title", ""))
    what = f"rule {title or uid!r}"
    yield from check_keys(path, "rule", rule, what)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid):
        yield Finding(path, f"{what} has the uid {uid!r}", "1 to 40 of A-Z, a-z, 0-9, _ and -")
    if uid in seen:
        yield Finding(path, f"{what} has the uid of {seen[uid]}", "a uid of its own")
    seen[uid] = what
    if not title:
        yield Finding(path, f"{what} has no title", "write `title:`")
    for key, allowed in STATES.items():
        if rule.get(key) not in allowed:
            fix = f"one of {', '.join(sorted(allowed))}, spelled like this"
            yield Finding(path, f"{what} has {key}: {rule.get(key)}", fix)
    for key in ("for", "keepFiringFor"):
        if key in rule and not re.fullmatch(DURATION, str(rule[key])):
            yield Finding(path, f"{what} has {key}: {rule[key]}", "a duration such as 5m")
    yield from check_dollars(path, what, rule)
    yield from check_panel_link(path, what, rule.get("annotations") or {})
    yield from check_data(path, what, rule)


def check_dollars(path: str, what: str, rule: Mapping[str, Any]) -> Iterator[Finding]:
    """A `$` in title or labels, where Grafana puts in a variable."""
    labels = rule.get("labels") or {}
    for text in (rule.get("title", ""), *labels.values()):
        if "$" in str(text).replace("$$", ""):
            problem = f"{what}: Grafana replaces the `$` in {text!r}"
            yield Finding(path, problem, "write `$$`, or `{{ .Labels.x }}`")


def check_panel_link(path: str, what: str, annotations: Mapping[str, Any]) -> Iterator[Finding]:
    """The link to a panel: both annotations, or neither."""
    both = {"__dashboardUid__", "__panelId__"} & set(annotations)
    if len(both) == 1:
        problem = f"{what} has {both.pop()} without the other one"
        yield Finding(path, problem, "give __dashboardUid__ and __panelId__, or neither")


def check_data(path: str, what: str, rule: Mapping[str, Any]) -> Iterator[Finding]:
    """The queries of a rule, and its condition."""
    data = rule.get("data") or ()
    if not data:
        yield Finding(path, f"{what} has no data", "write its queries under `data:`")
    refs = {query.get("refId") for query in data}
    if rule.get("condition") not in refs:
        problem = f"{what}: the condition {rule.get('condition')!r} is no query of it"
        yield Finding(path, problem, f"one of {', '.join(sorted(map(str, refs)))}")
    for query in data:
        yield from check_keys(path, "query", query, f"{what}, query {query.get('refId')}")
        yield from check_query(path, f"{what}, query {query.get('refId')}", query, refs)


def check_query(
    path: str, what: str, query: Mapping[str, Any], refs: Iterable[Any]
) -> Iterator[Finding]:
    """One query of a rule; *refs* are all that the rule has."""
    source, model = query.get("datasourceUid"), query.get("model") or {}
    if source == "__expr__":
        named = set(re.findall(r"\$\{?(\w+)", str(model.get("expression", ""))))
        for ref in sorted(named - set(refs)):
            yield Finding(path, f"{what} asks for {ref}, which is no query", "a refId of the rule")
        return
    if source not in SOURCES:
        fix = f"one of {', '.join(sorted(SOURCES))}"
        yield Finding(path, f"{what} has the data source {source!r}", fix)
    times = query.get("relativeTimeRange") or {}
    if not all(isinstance(times.get(key), int) for key in ("from", "to")):
        fix = "relativeTimeRange: {from: 600, to: 0}, in seconds"
        yield Finding(path, f"{what} has no time range", fix)
    if not model.get("expr"):
        yield Finding(path, f"{what} has no expression", "write `model.expr`")


def check_contact_points(path: str, document: Mapping[str, Any]) -> Iterator[Finding]:
    """Contact points: where messages go."""
    for point in document.get("contactPoints") or ():
        for receiver in point.get("receivers") or ():
            what = f"contact point {point.get('name')!r}"
            yield from check_keys(path, "receiver", receiver, what)
            for key in ("uid", "type", "settings"):
                if not receiver.get(key):
                    yield Finding(path, f"{what} has no {key}", f"write `{key}:`")
            settings = receiver.get("settings") or {}
            names_channel = settings.get("token") and settings.get("recipient")
            if receiver.get("type") == "slack" and not (settings.get("url") or names_channel):
                fix = "`url`, or `token` and `recipient`, under `settings`"
                yield Finding(path, f"{what} does not say where in Slack", fix)


def check_policy(
    path: str, route: Mapping[str, Any], receivers: Mapping[str, set[str]], *, root: bool
) -> Iterator[Finding]:
    """One notification policy, and those below it."""
    yield from check_keys(path, "route", route, "a policy")
    for file, names in receivers.items():
        if route.get("receiver") and route["receiver"] not in names:
            problem = f"the receiver {route['receiver']!r} is not in {file}"
            yield Finding(path, problem, f"one of {', '.join(sorted(map(str, names)))}")
    if root and (route.get("object_matchers") or route.get("matchers")):
        yield Finding(path, "the root policy has matchers", "put them on a route below it")
    for matcher in route.get("object_matchers") or ():
        if len(matcher) != 3 or matcher[1] not in ("=", "!=", "=~", "!~"):
            yield Finding(path, f"the matcher {matcher} does not fit", '[label, "=", value]')
    for key in ("group_wait", "group_interval", "repeat_interval"):
        if key in route and not re.fullmatch(DURATION, str(route[key])):
            yield Finding(path, f"a policy has {key}: {route[key]}", "a duration such as 5m")
    for below in route.get("routes") or ():
        yield from check_policy(path, below, receivers, root=False)


def check_data_sources(path: str, sources: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Data sources: one for each store."""
    found = list(sources)
    for key in ("uid", "name"):
        values = [source.get(key) for source in found]
        for value in sorted({str(v) for v in values if values.count(v) > 1}):
            yield Finding(path, f"two data sources have the {key} {value!r}", "make them differ")
    for uid in sorted(SOURCES - {str(source.get("uid")) for source in found}):
        problem = f"there is no data source with the uid {uid!r}"
        yield Finding(path, problem, "dashboards and rules refer to it")
    if sum(bool(source.get("isDefault")) for source in found) > 1:
        yield Finding(path, "two data sources are the default", "leave one")
    for source in found:
        for text in _strings(source.get("jsonData") or {}):
            if "$" in text.replace("$$", ""):
                problem = f"{source.get('uid')}: Grafana replaces the `$` in {text!r}"
                yield Finding(path, problem, "write `$$`")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for below in value.values():
            yield from _strings(below)
    elif isinstance(value, list):
        for below in value:
            yield from _strings(below)
