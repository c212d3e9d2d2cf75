"""Numbers, times and sizes as the pages write them: 3 significant digits, units, "–": unknown."""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus

from markupsafe import Markup, escape

UNKNOWN = "–"
ALMOST = 0.9995
"""What is so near to the next unit is written in it."""
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_FORMATS = {"clock": "%H:%M", "day": "%d %b %H:%M", "milli": "%H:%M:%S.%f"}
_BYTES = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"), (2**10, "kB"))


def number(value: float | None) -> str:
    """1,240 · 12.5 · 0.004."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if float(value).is_integer() else _three(value)


def _three(value: float) -> str:
    """Three significant digits, and never an exponent: 999.7 is 1,000 and not 1e+03."""
    if 0 < abs(value) < 0.0001:
        return "<0.0001"
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def short(value: float | None) -> str:
    """1.24 k: for tiles."""
    if value is None:
        return UNKNOWN
    for size, word in _STEPS:
        if abs(value) >= size * ALMOST:
            return f"{_three(value / size)} {word}"
    return number(value)


def duration(seconds: float | None) -> str:
    """`<1 ms`, `18 ms`, `1.9 s`, `4 min`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.001:
        return "<1 ms" if seconds > 0 else "0 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return long_duration(seconds)


def long_duration(seconds: float | None) -> str:
    """`45 s`, `5 min`, `2 h 10 min`, `3 d`."""
    from proletto_otel.core.texts import human_duration

    return UNKNOWN if seconds is None else human_duration(seconds)


def size(value: float | None) -> str:
    """Bytes in binary steps: `92.3 MB`."""
    if value is None:
        return UNKNOWN
    for step, word in _BYTES:
        # 1,010 kB is 0.986 MB: three digits
        least = step if step == 2**10 else step * 1000 / 1024 * ALMOST
        if abs(value) >= least:
            return f"{_three(value / step)} {word}"
    return f"{value:.0f} B"


def percent(value: float | None) -> str:
    """*value* is per cent: `7.2 %`."""
    if value is None:
        return UNKNOWN
    return f"{_three(value)} %"


def status_words(status: str) -> str:
    """What a status code means: `Not Found`; empty for a code that has no name."""
    try:
        return HTTPStatus(int(status)).phrase
    except ValueError:
        return ""


def with_unit(value: float | None, unit: str) -> str:
    """*value* in *unit*: seconds, bytes and per cent in their own ways."""
    if value is None:
        return UNKNOWN
    named = {"s": duration, "By": size, "B": size, "%": percent}
    return named[unit](value) if unit in named else f"{number(value)} {unit}".rstrip()


def time(at: float | None, style: str = "time") -> Markup:
    """A `<time>` in UTC; the script shows the viewer's zone, and *style* `ago` how long ago."""
    if not at:
        return Markup(UNKNOWN)
    at_utc = datetime.fromtimestamp(at, timezone.utc)
    iso = at_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown = at_utc.strftime(_FORMATS.get(style, "%d %b %H:%M:%S UTC"))
    # Without `Markup.format`, as nothing of it comes from outside: 17 us in place of 40 (CPython
    # 3.11), and a page has a hundred times.
    title = at_utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup(f'<time datetime="{iso}" title="{title}" data-style="{style}">{shown}</time>')


def moment(text: str) -> Markup:
    """An ISO 8601 time of a log line as a `<time>`; another text stays as it is."""
    try:
        return time(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp(), "milli")
    except (ValueError, OverflowError):
        return escape(text)


def minute(at: float) -> str:
    """As a field for date and time has it, in UTC: `2026-11-30T14:05`."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M")


def plain_time(at: float) -> str:
    """A time where no element may stand: `30 Nov 14:05 UTC`."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%d %b %H:%M UTC")


def ago(at: float | None) -> Markup:
    """How long ago, once the script runs; the time without it."""
    return time(at, "ago")


def ratio(value: float | None) -> str:
    """A share of 0 to 1 as per cent."""
    if value is None:
        return UNKNOWN
    return percent(value * 100)
