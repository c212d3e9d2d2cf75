"""What operators change on the admin pages: one row per action, each written into the audit.

A request changes something only when it is a POST of an operator, and one of our forms or a bearer
token sent it (`web.csrf`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from flask import Response, request

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.texts import human_duration, readable
from proletto_otel.logs.shared_levels import DEFAULT_S
from proletto_otel.web import assets, csrf, login
from proletto_otel.web.addresses import base_of
from proletto_otel.web.asked import Asked
from proletto_otel.web.pages.workers import workers
from proletto_otel.web.site import PAGE_HEADERS, json_answer
from proletto_otel.web.template_environment import template

MAX_FORM = 16_384
"""Bytes of a form that are read."""
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Action:
    """One thing that can be changed."""

    name: str
    do: Callable[[Asked, Form], tuple[str, str]]
    """Does it; returns what it was done to and a word more, for the audit. Raises `ConfigError`."""

    back: Callable[[Form], str]
    """The page that shows the result, below the prefix."""

    fields: tuple[str, ...] = ()
    """What its form holds."""


def _acknowledge(asked: Asked, form: Form) -> tuple[str, str]:
    name, seconds = form.get("alert", ""), _seconds(form, 14_400)
    reason = form.get("reason", "")
    made = asked.site.monitor.acknowledge(name, asked.visitor.name, seconds, reason)
    return name, _stored(made is not None, f"{seconds:.0f} s {reason}")


def _silence(asked: Asked, form: Form) -> tuple[str, str]:
    name, seconds = form.get("alert", ""), _seconds(form, 3600)
    reason = form.get("reason", "")
    made = asked.site.monitor.silence(name, seconds, asked.visitor.name, reason)
    return name, _stored(made is not None, f"{seconds:.0f} s {reason}")


def _unsilence(asked: Asked, form: Form) -> tuple[str, str]:
    name = form.get("alert", "")
    return name, "" if asked.site.monitor.unsilence(name) else "there was none"


def _test_channel(asked: Asked, form: Form) -> tuple[str, str]:
    name = form.get("channel", "")
    asked.site.monitor.test_channel(name, asked.visitor.name)
    return name, ""


def _change_error(asked: Asked, form: Form) -> tuple[str, str]:
    fingerprint, status = form.get("fingerprint", ""), form.get("status", "")
    if not asked.site.monitor.errors.change(fingerprint, status, asked.visitor.name):
        raise ConfigError(f"fingerprint={fingerprint!r}: there is no such error, or no store")
    return fingerprint, status


def _set_log_level(asked: Asked, form: Form) -> tuple[str, str]:
    levels = asked.site.monitor.log_levels
    if levels is None:
        raise ConfigError("telemetry is not set up")
    made = levels.set(
        form.get("logger", "").strip(), form.get("level", ""), asked.visitor.name,
        _seconds(form, DEFAULT_S), unknown=form.get("unknown") == "1",
    )  # fmt: skip
    return made.name, f"{made.level} for {human_duration(made.until - made.at)}"


def _reset_log_level(asked: Asked, form: Form) -> tuple[str, str]:
    levels, name = asked.site.monitor.log_levels, form.get("logger", "")
    return name, "" if levels is not None and levels.reset(name) else "it had its own level"


def _ask_thread_dump(asked: Asked, form: Form) -> tuple[str, str]:
    dumps, given = asked.site.monitor.thread_dumps, form.get("pid", "")
    hosts = {str(life.pid): life.host for life in asked.site.monitor.get_workers()}
    hosts |= {str(w.pid): "" for w in workers(asked.site) if str(w.pid) not in hosts}
    if dumps is None or given not in hosts:
        raise ConfigError.of("pid", given, f"a worker that lives: {', '.join(sorted(hosts))}")
    dumps.ask(int(given), asked.visitor.name, hosts[given])
    return f"process {given}", ""


def _log_out(asked: Asked, form: Form) -> tuple[str, str]:
    return "", ""


ACTIONS = {
    action.name: action
    for action in (
        Action("acknowledge", _acknowledge, lambda form: "/alerts", ("alert", "seconds", "reason")),
        Action("silence", _silence, lambda form: "/alerts", ("alert", "seconds", "reason")),
        Action("unsilence", _unsilence, lambda form: "/alerts", ("alert",)),
        Action("test-channel", _test_channel, lambda form: "/alerts", ("channel",)),
        Action(
            "error-status", _change_error,
            lambda form: f"/errors/{quote(form.get('fingerprint', ''), safe='')}",
            ("fingerprint", "status"),
        ),
        Action(
            "log-level", _set_log_level, lambda form: "/telemetry",
            ("logger", "level", "seconds", "unknown"),
        ),
        Action("log-level-reset", _reset_log_level, lambda form: "/telemetry", ("logger",)),
        Action("thread-dump", _ask_thread_dump, lambda form: "/telemetry", ("pid",)),
        Action("logout", _log_out, lambda form: ""),
    )
}  # fmt: skip


def view(asked: Asked, action: str) -> Response:
    """Do it, write it down, show the result."""
    found = ACTIONS.get(action)
    if found is None:
        return _refused(asked, "there is no such action", 404)
    refusal = _check(asked, action)
    if refusal is not None:
        return refusal
    try:
        target, detail = found.do(asked, request.form)
    except ConfigError as error:
        return _refused(asked, str(error), 400)
    asked.site.audit.add(asked.visitor, action, target, detail.strip())
    if action == "logout":
        return login.logout(asked.site)
    if _wants_json():
        return json_answer({"action": action, "target": target, "by": asked.visitor.name})
    return login.redirect(f"{base_of(asked)}{found.back(request.form)}")


def _check(asked: Asked, action: str) -> Response | None:
    """Why this request changes nothing; None: it may."""
    if (request.content_length or 0) > MAX_FORM:
        return _refused(asked, "that form is too long", 413)
    site, visitor = asked.site, asked.visitor
    if visitor.is_ambient and not csrf.is_same_origin(request, site.config.dashboard_url):
        return _refused(
            asked,
            "this form came from another site, or a proxy changes the host's name: let it pass"
            " the Host header on, or set PROLETTO_DASHBOARD_URL", 403,
        )  # fmt: skip
    if not visitor.may_change and action != "logout":
        return _refused(asked, "viewers change nothing: ask somebody who is an operator", 403)
    if visitor.is_ambient and not csrf.has_token(request):
        return _refused(asked, "this form is too old: load the page again", 403)
    return None


def _refused(asked: Asked, why: str, status: int) -> Response:
    if _wants_json():
        return json_answer({"error": why}, status)
    base = base_of(asked)
    body = template("refused.html").render(
        why=readable(why), overview=base, icon=assets.url(base, "icon.svg"),
        stylesheet=assets.url(base, "dashboard.css"),
    )  # fmt: skip
    return Response(body, status, dict(PAGE_HEADERS), content_type="text/html; charset=utf-8")


def _wants_json() -> bool:
    return "text/html" not in request.headers.get("Accept", "").lower()


def _seconds(form: Form, default: float) -> float:
    try:
        return float(form.get("seconds", default))
    except ValueError:
        raise ConfigError.of("seconds", form.get("seconds"), "a number of seconds") from None


def _stored(stored: bool, detail: str) -> str:
    if not stored:
        raise ConfigError("it could not be stored: the host's store cannot be written")
    return detail
