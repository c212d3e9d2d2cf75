"""What programs may use: names, signatures and what they say of themselves stay as they are.

A change that is meant is written down with `python -m tests.test_public_api`, so that the review
sees it in `public_api.txt`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

SNAPSHOT = Path(__file__).with_name("public_api.txt")
MODULES = (
    "proletto_otel",
    "proletto_otel.error_logging",
    "proletto_otel.monitoring",
    "proletto_otel.monitoring_routes",
    "proletto_otel.testing",
    "proletto_otel.gunicorn",
    "proletto_otel.pytest_plugin",
)
WIRING = {
    *("Inputs", "emit"),
    *("begun", "families", "provide", "settle", "started"),
    *("indicator", "known", "live", "reset", "running"),
}
"""Names that only this package uses."""
NOT_MADE_BY_PROGRAMS = {"Telemetry", "Monitor"}
"""Classes whose constructor is this package's own affair."""


def test_public_api_is_as_it_was() -> None:
    """Nobody's program breaks by chance."""
    assert SNAPSHOT.read_text(encoding="utf-8") == document()


def document() -> str:
    """All public names, one paragraph each."""
    return "\n".join(line for name in MODULES for line in module_lines(name)) + "\n"


def module_lines(name: str) -> Iterator[str]:
    """The names of one module."""
    module = importlib.import_module(name)
    yield f"{name}: {first_line(module)}"
    for public in sorted(names_of(module)):
        yield from member_lines(public, getattr(module, public), "  ")
    yield ""


def names_of(module: object) -> list[str]:
    """What a module offers; gunicorn's hooks and fixtures have no `__all__`."""
    own = (
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__  # type: ignore[attr-defined]
    )
    return [name for name in getattr(module, "__all__", own) if name not in WIRING]


def member_lines(name: str, value: object, indent: str) -> Iterator[str]:
    """One name; the public methods and properties of a class below it."""
    if inspect.isclass(value):
        made = "" if name in NOT_MADE_BY_PROGRAMS else signature(value)
        yield f"{indent}class {name}{made}: {first_line(value)}"
        for member, found in sorted(class_members(value).items()):
            yield from member_lines(member, found, indent + "  ")
    elif isinstance(value, property):
        yield f"{indent}{name}: {first_line(value)}"
    elif callable(value):
        yield f"{indent}{name}{signature(value)}: {first_line(value)}"
    else:
        yield f"{indent}{name} = {type(value).__name__}"


def class_members(owner: type) -> dict[str, object]:
    """Public methods and properties of a class and its bases in this package."""
    ours = [base for base in owner.__mro__ if base.__module__.startswith("proletto_otel")]
    return {
        name: value
        for base in reversed(ours)
        for name, value in vars(base).items()
        if not name.startswith("_")
        and name not in WIRING
        and (callable(value) or isinstance(value, property))
    }


def signature(value: object) -> str:
    """Parameters with defaults and types, without addresses."""
    try:
        text = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(?)"
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def first_line(value: object) -> str:
    """The first line of a docstring of its own."""
    return (inspect.getdoc(value) or "").partition("\n")[0]


if __name__ == "__main__":
    SNAPSHOT.write_text(document(), encoding="utf-8")
