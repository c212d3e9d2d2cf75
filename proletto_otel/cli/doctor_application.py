"""What `doctor` looks at in the user's application, once it is loaded as a server would load it."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from proletto_otel.cli.doctor_deployment import Deployment
from proletto_otel.cli.doctor_verdict import WrongError

OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
PRELOAD = re.compile(r"(?m)^\s*preload_app\s*=\s*True")


def checks(
    app: str, folder: Path, deployment: Deployment
) -> Iterator[tuple[str, Callable[[], str]]]:
    """The checks in their order: the first one loads the application."""
    before, environ = set(threading.enumerate()), deployment.environ
    yield "application", lambda: application_loads(app, deployment)
    yield "preload", lambda: preload_is_safe(folder, environ, before)
    yield "conventions", lambda: conventions_were_read_in_time(os.environ)


def application_loads(app: str, deployment: Deployment) -> str:
    """The application loads, calls `setup_telemetry`, and writes no line twice."""
    from proletto_otel.cli.application import load_application

    try:
        config = deployment.config = load_application(app)
    except click.ClickException as error:
        fix = (
            "correct --app (as in `flask --app`), or the application: it must load without a server"
        )
        raise WrongError(error.message, fix) from error
    for name in ("", *sorted(logging.root.manager.loggerDict)):
        if twice := [place for place, n in Counter(_places(name)).items() if n > 1]:
            whole = f"the logger {name!r} and those above it" if name else "the root logger"
            problem = f"two handlers of {whole} write to {', '.join(twice)}: each line twice"
            fix = "remove the application's own handler (logging.basicConfig, addHandler)"
            raise WrongError(problem, fix)
    return f"{config.service_name} calls setup_telemetry; no handler is doubled"


def _places(name: str) -> Iterator[str]:
    """Where a line of a logger is written; the console sink of ours counts as one."""
    from proletto_otel.logs.intake.stdlib import PipelineHandler
    from proletto_otel.logs.pipeline import pipeline

    for handler in _handlers(name):
        # Ours hands records to the sinks; of those only the console may print a line twice.
        if isinstance(handler, PipelineHandler):
            yield from ("the console" for sink in pipeline.sinks if sink.name == "console")
        elif isinstance(handler, logging.FileHandler):
            yield handler.baseFilename
        elif type(handler) is logging.StreamHandler:
            yield "the console"


def _handlers(name: str) -> Iterator[logging.Handler]:
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def preload_is_safe(folder: Path, environ: Mapping[str, str], before: set[threading.Thread]) -> str:
    """With gunicorn's preload no thread is started before the workers are forked."""
    path = folder / "gunicorn.conf.py"
    asked = bool(path.is_file() and PRELOAD.search(path.read_text(errors="replace")))
    asked |= "--preload" in environ.get("GUNICORN_CMD_ARGS", "")
    running = [each.name for each in threading.enumerate() if each not in before]
    used = "used" if asked else "not used here"
    if not running:
        return f"{used}; loading the application starts no thread, so it is safe"
    names = ", ".join(running)
    if not asked:
        return f"{used}; with it these threads would be missing in the workers: {names}"
    problem = f"loading the application starts {names}: with preload no worker has it"
    fix = "start it in the worker (gunicorn's post_fork, or the first request), or leave preload"
    raise WrongError(problem, fix)


def conventions_were_read_in_time(environ: Mapping[str, str]) -> str:
    """The variable that picks the names of span attributes was set before it was read."""
    wanted = environ.get(OPT_IN, "")
    module: Any = sys.modules.get("opentelemetry.instrumentation._semconv")
    # Private there, and it has no other way to ask; without it there is nothing to say.
    stability: Any = getattr(module, "_OpenTelemetrySemanticConventionStability", None)
    if not wanted or not getattr(stability, "_initialized", False):
        return f"{OPT_IN} is {'not set' if not wanted else 'read when the first span needs it'}"
    read = {mode.value for mode in stability._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING.values()}
    late = {word.strip() for word in wanted.split(",")} - read
    if late:
        problem = f"{OPT_IN}={wanted} was set after an instrumentation had read it"
        fix = "set it where the process is started (unit file, Dockerfile), not in Python"
        raise WrongError(problem, fix)
    return f"{OPT_IN}={wanted} was read"
