"""The exceptions that led to an exception, in the order of the interpreter's own tracebacks."""

from __future__ import annotations

MAX_CHAIN = 50
"""Links of a chain (`raise … from …`) that are shown, the newest ones."""
CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
"""Sentences between two links, as the module `traceback` of Python has them."""


def links(error: BaseException) -> list[tuple[BaseException, str]]:
    """The chain, newest first, each with the sentence that follows it."""
    # As the interpreter prints it: a cause wins over the context, `raise … from None` hides the
    # context. By identity, because a chain may be a circle.
    found: list[tuple[BaseException, str]] = [(error, "")]
    seen = {id(error)}
    step: BaseException | None = error
    while step is not None and len(found) < MAX_CHAIN:
        before, sentence = step.__cause__, CAUSE
        if before is None or id(before) in seen:
            before, sentence = (None if step.__suppress_context__ else step.__context__), CONTEXT
        if before is None or id(before) in seen:
            break
        seen.add(id(before))
        found.append((before, sentence))
        step = before
    return found
