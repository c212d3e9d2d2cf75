"""Exceptions as facts: type, message, traceback text, where, fingerprint. It never raises.

The text is the one of `traceback.format_exception`, cleaned. `core.frames` caches the text of
frames, and an error that comes again with the same type, message and stack gets the facts of the
first one: describing it again takes a few microseconds.
"""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Callable
from dataclasses import field
from hashlib import sha256
from types import TracebackType
from typing import Any, TypeVar

from proletto_otel.core import exception_chain, frames
from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.frames import in_app
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.record import record
from proletto_otel.core.redaction import sanitise

MAX_TYPES = 1024
MAX_GROUP_TEXT = 65_536
"""Characters of an exception group's text, from its end, that are redacted."""
MAX_NOTES = 20
MAX_NOTES_TEXT = 16_384
"""Characters of all notes of an error; the last lines of its traceback stay beside them."""
MAX_REPEATED = 128
"""Errors that are cached, facts and rendered forms, for their next occurrence."""
MAX_REPEATED_TEXT = 8192
"""Longest traceback that is cached, characters: about 40 KB of memory with its forms."""

HEADER = "Traceback (most recent call last):\n"
_ATTRIBUTE = "__proletto__"
_BY_THE_LIBRARY = (SyntaxError, NameError, AttributeError, ImportError)
"""Errors with final lines that the standard library extends: source line, "Did you mean"."""

Form = TypeVar("Form")

capture_locals = False


@record(slots=True)
class ExceptionFacts:
    """An exception as texts; each one is redacted and bounded."""

    type: str
    """Qualified name: `shop.PaymentError`, `ValueError`."""
    short_type: str
    message: str
    traceback: str
    """As the standard library writes it, ending in a newline."""
    fingerprint: str
    """16 hex digits of type and `where`; the message does not matter."""
    where: str
    """`file:function` of the innermost frame of the application."""
    location: str = ""
    """`file:line` of the same frame."""
    locals: dict[str, Any] | None = None
    """Local variables of that frame, redacted; only when asked for."""
    forms: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    """Rendered forms by name; only on facts that are shared by every repetition of an error."""

    def __init__(
        self, type: str, short_type: str, message: str, traceback: str, fingerprint: str,
        where: str, location: str = "", locals: dict[str, Any] | None = None,
        forms: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.type, self.short_type, self.message = type, short_type, message
        self.traceback, self.fingerprint, self.where = traceback, fingerprint, where
        self.location, self.locals, self.forms = location, locals, forms

    @property
    def lines(self) -> list[str]:
        """The traceback line by line."""
        return self.traceback.splitlines()

    def form(self, name: str, make: Callable[[ExceptionFacts], Form]) -> Form:
        """These facts rendered by *make* (JSON, OTLP); rendered once for an error that repeats."""
        forms = self.forms
        if forms is None:
            return make(self)
        found: Form | None = forms.get(name)
        if found is None:
            found = forms[name] = make(self)
        return found


class Described:
    """The facts that an exception carries."""

    __slots__ = ("facts", "seen_at")

    def __init__(self, facts: ExceptionFacts, seen_at: int) -> None:
        self.facts = facts
        self.seen_at = seen_at
        """Identity of the traceback that was described."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Not carried along when the exception is pickled to another process."""
        return str, ()


def configure(*, locals_too: bool) -> None:
    """Whether the local variables of the failing frame are captured, redacted."""
    global capture_locals
    capture_locals = locals_too


def describe(error: BaseException) -> ExceptionFacts:
    """The facts of *error*; made once for as long as its traceback stays the same."""
    try:
        tb = error.__traceback__
        # Kept on the exception itself: logger, span and error group all ask for the same one. An
        # exception that went further up has another first traceback entry, and is described anew.
        own = error.__dict__
        found = own.get(_ATTRIBUTE)
        if type(found) is Described and found.seen_at == id(tb):
            return found.facts
        facts = _facts(error, tb)
        own[_ATTRIBUTE] = Described(facts, id(tb))
    except Exception as broken:
        count_failure("exceptions.describe", broken)
        # Its attributes or its text raise: what is left is the name of its type.
        name = sanitise.get().text(type(error).__name__)
        return ExceptionFacts(name, name, "", f"{name}\n", fingerprint_of(name, ""), "")
    return facts


def fingerprint(error: BaseException) -> str:
    """The 16 hex digits that all occurrences of this error share."""
    return describe(error).fingerprint


def fingerprint_of(kind: str, where: str) -> str:
    """The fingerprint for a type and a `file:function`."""
    return sha256(f"{kind}\0{where}".encode("utf-8", "replace")).hexdigest()[:16]


_repeated: dict[tuple[frames.Stack, type, str], ExceptionFacts] = {}
"""Holds no exception and no frame, so it keeps no request's objects alive."""


def _facts(error: BaseException, tb: TracebackType | None) -> ExceptionFacts:
    stack = frames.stack(tb)
    text = _safe_str(error)
    # A subclass of `str` is no key: its `__hash__` and `__eq__` are the application's code.
    if not stack.cached or type(text) is not str or _is_unlike_the_next(error):
        return _new_facts(error, tb, stack, text)
    key = (stack, type(error), text)
    facts = _repeated.get(key)
    if facts is None:
        facts = _new_facts(error, tb, stack, text)
        if len(facts.traceback) + len(text) <= MAX_REPEATED_TEXT:
            # Emptied as a whole: an error that still repeats is back with its next occurrence, and
            # no hit pays for an order of use.
            if len(_repeated) >= MAX_REPEATED:
                _repeated.clear()
            facts.forms = {}
            _repeated[key] = facts
    return facts


def _is_unlike_the_next(error: BaseException) -> bool:
    """Whether the text depends on more than type, message and stack, and must not be cached."""
    return (
        error.__context__ is not None
        or error.__cause__ is not None
        or capture_locals
        or not sanitise.get().redactor.constant
        or isinstance(error, _BY_THE_LIBRARY)
        or getattr(error, "__notes__", None) is not None
        or _is_group(error)
    )


def _new_facts(
    error: BaseException, tb: TracebackType | None, stack: frames.Stack, message: str
) -> ExceptionFacts:
    name, short = _names[type(error)]
    block = sanitise.get().block(message)
    text = _chain(error, stack, _last_lines(error, name, block))
    if not block.isprintable():
        block = block.replace("\n", "\\n").replace("\t", "\\t")
    facts = ExceptionFacts(
        name,
        short,
        block,
        text,
        _fingerprints[name, stack.where],
        stack.where,
        stack.location,
    )
    if capture_locals:
        facts.locals = _locals(tb)
    return facts


def _names_of(kind: type) -> tuple[str, str]:
    """Qualified and short name of an exception's type, redacted."""
    module = str(kind.__module__)
    name = kind.__qualname__
    if module not in ("__main__", "builtins"):
        name = f"{module}.{name}"
    clean = sanitise.get().text
    return clean(name), clean(kind.__name__)


_names: BoundedCache[tuple[str, str]] = BoundedCache(_names_of, MAX_TYPES)
_fingerprints: BoundedCache[str] = BoundedCache(lambda key: fingerprint_of(*key), MAX_TYPES)


def _safe_str(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "<exception str() failed>"


def _chain(error: BaseException, stack: frames.Stack, last: str) -> str:
    """Text of *error*, after the texts of the errors that led to it."""
    # Most errors stand alone: nothing is walked for them.
    if error.__cause__ is None and error.__context__ is None and not _is_group(error):
        text = HEADER + stack.text + last if stack.frames else last
        return sanitise.cut_head(text, sanitise.get().max_text)
    links = exception_chain.links(error)
    if any(_is_group(link) for link, _ in links):
        return _by_the_library(error)
    clean = sanitise.get()
    parts: list[str] = []
    length = 0
    # Newest first, because the end is what stays of a long text: as soon as it is full, older links
    # are no more than counted. So one record redacts 64 KB of messages, whatever the chain holds;
    # 50 links with 32 KB each took 417 ms of CPU, and take 23 now.
    for link, between in links:
        own, name = frames.stack(link.__traceback__), _names[type(link)][0]
        head = HEADER + own.text if own.frames else ""
        if link is error:
            lines = last
        elif length < clean.max_text:
            lines = _last_lines(link, name, clean.block(_safe_str(link)))
        else:
            length += len(f"{head}{name}: {_safe_str(link)}\n{between}")
            continue
        parts += (between, lines, head)
        length += len(between) + len(lines) + len(head)
    return sanitise.cut_head("".join(reversed(parts)), clean.max_text, length)


def _last_lines(error: BaseException, name: str, message: str) -> str:
    clean = sanitise.get().block
    if isinstance(error, _BY_THE_LIBRARY):
        # Their last lines have the source line or a suggestion, which only the library can make;
        # `limit=0` leaves out the frames, which are in the text already.
        shown = tracebacks.TracebackException(type(error), error, error.__traceback__, limit=0)
        return clean("".join(shown.format_exception_only()))
    last = f"{name}: {message}\n" if message else f"{name}\n"
    # Notes (3.11 and later) are what the application says they are; so nothing of them is trusted.
    notes = getattr(error, "__notes__", None)
    if notes is None:
        return last
    if not isinstance(notes, (list, tuple)):
        return last + clean("<__notes__ that is no list>") + "\n"
    left = MAX_NOTES_TEXT
    for note in list(notes)[:MAX_NOTES]:
        text = clean(note if isinstance(note, str) else "<note that is no text>")
        last += f"{sanitise.cut(text, left)}\n"
        left -= len(text)
        if left <= 0:
            break
    return last


def _is_group(error: BaseException) -> bool:
    return hasattr(error, "exceptions") and hasattr(error, "split")


def _by_the_library(error: BaseException) -> str:
    """Text of an exception group (3.11 and later); the standard library draws its tree."""
    text = "".join(tracebacks.format_exception(type(error), error, error.__traceback__))
    clean = sanitise.get()
    if len(text) > MAX_GROUP_TEXT:  # from the next whole line on: half a secret has no shape
        text = text[text.find("\n", len(text) - MAX_GROUP_TEXT) + 1 :]
    redacted = clean.redactor.text(text)
    return sanitise.cut_head(sanitise.escaped(redacted), clean.max_text)


def _locals(tb: TracebackType | None) -> dict[str, Any] | None:
    # The innermost frame of the application; the outermost of all when none is its own.
    failing = None
    while tb is not None:
        if failing is None or in_app(tb.tb_frame.f_code.co_filename):
            failing = tb.tb_frame
        tb = tb.tb_next
    return None if failing is None else sanitise.get().fields(dict(failing.f_locals))
