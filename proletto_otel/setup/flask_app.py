"""What `setup_telemetry` adds to one Flask application: middleware, routes, error page, user.

Nothing here makes the application build what it builds late (its logger, its template environment):
settings that the program changes after the set-up keep their effect. Several applications of a
process share the components; each has a middleware of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from proletto_otel.core.context import current_request, request_id
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.record import record
from proletto_otel.monitoring import monitor
from proletto_otel.request import error_pages, flask_adapter
from proletto_otel.request.middleware import TelemetryMiddleware
from proletto_otel.setup import foreign_instrumentation
from proletto_otel.setup.components import Components
from proletto_otel.setup.one_reading import one_reading
from proletto_otel.setup.requests import RequestTelemetry
from proletto_otel.web import probes, routes
from proletto_otel.web.access import Access, Authorize
from proletto_otel.web.attempts import Attempts
from proletto_otel.web.site import Site

if TYPE_CHECKING:
    from flask import Flask
    from flask.templating import Environment

    from proletto_otel.web.own_pages import MonitoringPage

ATTACHMENT = "proletto_otel.attachment"
"""Under this name `app.extensions` holds what was added to the application."""


@record(slots=True, eq=False)
class Attachment:
    """What was added to one application."""

    middleware: TelemetryMiddleware
    site: Site
    authorize: Authorize | None


def attachment(app: Flask) -> Attachment:
    """What was added to *app*."""
    found: Attachment = app.extensions[ATTACHMENT]
    return found


def attach(
    app: Flask,
    components: Components,
    requests: RequestTelemetry,
    status: Callable[[], Any],
    authorize: Authorize | None,
    pages: Sequence[MonitoringPage] = (),
) -> TelemetryMiddleware:
    """Wrap *app* and add its routes; what an earlier set-up added is used again."""
    config = components.config
    before: Attachment | None = app.extensions.get(ATTACHMENT)
    if before is None:
        foreign_instrumentation.switch_off(app)
    site = Site(
        config=config,
        monitor=monitor,
        access=Access(config, authorize, Attempts(components.state)),
        exposition=requests.page,
        status=status,
        families=components.snapshots.merged,
        one_reading=partial(one_reading, components.lifecycle, components.snapshots),
        published=components.snapshots.published,
        callers=requests.all_callers,
        stored_callers=lambda start, end: components.recording.past.callers.read(start, end),
        store=components.store,
        pages=pages,
    )
    middleware = TelemetryMiddleware(
        before.middleware.wsgi_app if before is not None else app.wsgi_app,
        requests.tracer,
        requests.recorder,
        ensure=components.lifecycle.ensure,
        exclusions=requests.exclusions,
        trust_request_id=config.trust_request_id,
        endpoints=probes.endpoints(app, site),
    )
    if before is not None:  # in place: the server and other layers hold the old objects
        vars(before.middleware).update(vars(middleware))
        vars(before.site).update(vars(site))
        return before.middleware
    app.extensions[ATTACHMENT] = Attachment(middleware, site, authorize)
    # Their middleware goes inside ours: `instrument` wraps the application, and ours then calls
    # what it made. Otherwise their span would begin before the request has its ID.
    if requests.uses_contrib:
        from proletto_otel.request.contrib import instrument

        instrument(app, requests.tracing, requests.exclusions)
        middleware.wsgi_app = app.wsgi_app
    foreign_instrumentation.keep_off(app)
    foreign_instrumentation.step_aside()
    app.wsgi_app = middleware  # type: ignore[method-assign]  # Flask documents wrapping it so
    components.logs.adopt(app)
    flask_adapter.watch(app)
    routes.register(app, site)
    if config.error_pages:
        error_pages.register(app)
    _offer_request_id(app)
    return middleware


def _offer_request_id(app: Flask) -> None:
    """Let templates call `request_id()`.

    The environment is made at the first use of `app.jinja_env`, and reads `app.jinja_options`,
    `TEMPLATES_AUTO_RELOAD` and `app.debug` then; using it here would be too early.
    """
    if "jinja_env" in app.__dict__:
        app.jinja_env.globals.setdefault("request_id", request_id)
        return
    make = app.create_jinja_environment

    def create_jinja_environment() -> Environment:
        environment = make()
        environment.globals.setdefault("request_id", request_id)
        return environment

    app.create_jinja_environment = create_jinja_environment  # type: ignore[method-assign]


def watch_login(app: Flask) -> None:
    """Take the user's ID from Flask-Login when it loads one."""
    manager: Any = getattr(app, "login_manager", None)
    original = getattr(manager, "_update_request_context_with_user", None)
    if original is None or getattr(original, "__proletto__", False):
        return

    def update(user: Any = None) -> None:
        original(user)
        context = current_request()
        if user is not None and context is not None and context.user_id is None:
            with suppressed("request.user"):
                context.user_id = str(user.get_id())

    update.__proletto__ = True  # type: ignore[attr-defined]  # marks our own wrapper
    manager._update_request_context_with_user = update
