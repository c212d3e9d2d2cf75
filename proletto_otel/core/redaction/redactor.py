"""Redaction of text: by the name before a value, and by the value's own shape.

It never repeats what it matched. Detectors mark spans of the text (`core.redaction.scan`), also of
what is encoded in it; then the spans are replaced. Control characters, sizes and nesting live in
`core.redaction.sanitise`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.redaction import (
    command_lines,
    glance,
    named_values,
    secret_contexts,
    secret_names,
    values,
)
from proletto_otel.core.redaction import token_shapes as shapes
from proletto_otel.core.redaction.decoding import Decoded, first_escape
from proletto_otel.core.redaction.glance import lower
from proletto_otel.core.redaction.provider_tokens import TOKENS, Tokens
from proletto_otel.core.redaction.providers import Provider, providers
from proletto_otel.core.redaction.scan import REDACTED, Scan
from proletto_otel.core.redaction.secret_names import LIKELY, NO, SECRET, WEAK

MAX_KNOWN_KEYS = 4096
"""Names with a decision that is remembered; a program uses a few hundred."""
MAX_KEY = 200
MAX_DECODINGS = 3
"""Times that a text within a text is decoded: a URL in a parameter of a URL in one of another."""

_ONE_MARK = glance.MARKS | glance.ONE_MARK
_LONG_WORD = lazy_pattern(r"(?<![^\s\"'<>(),;])[^\s\"'<>(),;]{16,}")
_WORD_STEPS = 16
"""Characters of a long word that cost one step: 160 providers take 0.1 µs a character."""
_TEXT_STEPS = 16
"""Characters of a decoded text that cost one step: all patterns together take 60 ns a character."""


class Redactor:
    """Replaces secrets in texts and knows which names promise one.

    Args:
        patterns: More regular expressions; what they match is replaced.
        keys: More names of secret values.
        allow: Names of values that are never secret.
        callback: Called with every text after our own rules; gives the text to use instead. When
            it raises or gives no text, the whole text is replaced.
        emails: Replace email addresses too.
        sql_literals: Replace literals in SQL texts by `?`.
        tokens: More beginnings of tokens, `acme_live_:24` with the least length of what follows.
        identifiers: Replace national and financial identifiers too: `iban`, `tax_id`, `passport`.

    Raises:
        ConfigError: for a pattern that does not compile.
    """

    def __init__(
        self,
        *,
        patterns: Iterable[str] = (),
        keys: Iterable[str] = (),
        allow: Iterable[str] = (),
        callback: Callable[[str], str] | None = None,
        emails: bool = False,
        sql_literals: bool = False,
        tokens: Iterable[str] = (),
        identifiers: bool = False,
    ) -> None:
        self._patterns = tuple(compiled(pattern) for pattern in patterns)
        self._keys = {secret_names.joined(key) for key in keys}
        self._allowed = {secret_names.joined(key) for key in allow}
        self._callback = callback
        self._emails = emails
        self._sql_literals = sql_literals
        own = [Provider.of_setting(word) for word in tokens]
        self._tokens = Tokens(lambda: (*own, *providers())) if own else TOKENS
        self._identifiers = identifiers
        self._levels: BoundedCache[int] = BoundedCache(self._decide, MAX_KNOWN_KEYS)
        self.thorough = any((self._patterns, callback, emails, sql_literals, own, identifiers))
        """Whether even an ordinary text must be scanned."""
        self.constant = callback is None
        """Whether the same text always gives the same: a callback may change its mind."""

    def compile(self) -> None:
        """Compile what is left to the first text that needs it (13 ms)."""
        self._tokens.compile()

    def level(self, name: str) -> int:
        """How far *name* promises a secret, as `secret_names.level`."""
        return self._levels[name] if len(name) <= MAX_KEY else self._decide(name)

    def key(self, name: str) -> bool:
        """Whether the value under *name* is a secret, unless it is evidently none."""
        return self.level(name) >= LIKELY

    def hides(self, level: int, name: str, value: str) -> bool:
        """Whether the text *value* of a field is a secret under a name of this *level*."""
        if level == SECRET:
            return True
        if level == LIKELY:
            return not values.is_ordinary(value)
        if level == WEAK:
            return values.looks_generated(value) or ("pin" in name and values.is_pin(value))
        return False

    def text(self, text: str) -> str:
        """*text* with every secret replaced by `[redacted]`."""
        # Most lines hold nothing that could be a secret, and a glance (under 1 µs) shows it: no
        # detector has to run on them.
        seen = glance.at(text)
        if seen == _ONE_MARK and (name := glance.only_name(text)) and self.level(name) == NO:
            seen = 0
        if seen:
            text = self._scan(text, seen)
        elif glance.hints(low := lower(text)):
            scan = Scan(text)
            self._without_marks(scan, low)
            text = scan.result()
        return self._own(text) if self.thorough else text

    def code(self, text: str) -> str:
        """A line of source code: literals are secrets, the names of variables are not."""
        scan = Scan(text, literals_only=True)
        self._detect(scan, glance.at(text))
        return self._own(scan.result())

    def _decide(self, name: str) -> int:
        short = name[-MAX_KEY:]
        joined = secret_names.joined(short)
        if joined in self._allowed:
            return NO
        return SECRET if joined in self._keys else secret_names.level(short, self._identifiers)

    def _scan(self, text: str, seen: int) -> str:
        """Look into *text* and into what is encoded in it, within one budget."""
        # The text as it is, then what percent, JSON and HTML escapes in it stand for, layer by
        # layer. All layers share one budget of steps, so a text made to be slow is cut and not
        # waited for.
        scan = Scan(text)
        self._detect(scan, seen)
        # A form writes blanks as `+`: without this, `password+is+x` would be one word.
        plus = "+" in text and ("=" in text or "%" in text)
        if plus:
            self._detect_inner(scan, [], text.replace("+", " "), text.find("+"))
        layers: list[Decoded] = []
        inner = text
        while len(layers) < MAX_DECODINGS and scan.steps > 0:
            escape = first_escape(inner)
            if escape is None:
                break
            escape = self._raw(layers, escape)
            layer = Decoded(inner)
            if not scan.spend(layer.pieces // 2, escape):
                break
            if layer.end < len(inner):
                scan.cut(self._raw(layers, layer.end))
            layers.append(layer)
            inner = layer.text
            self._detect_inner(scan, layers, inner, escape)
            if plus and len(layers) == 1 and "+" in inner:
                self._detect_inner(scan, layers, inner.replace("+", " "), escape)
        return scan.result()

    @staticmethod
    def _raw(layers: list[Decoded], position: int) -> int:
        """Where in the original text the character at *position* stood."""
        for layer in reversed(layers):
            position, _ = layer.raw_span(position, position + 1)
        return position

    def _detect_inner(self, outer: Scan, layers: list[Decoded], text: str, start: int) -> None:
        """Look into the decoded *text*, and mark in the original what is found.

        When the budget does not reach for it, the original is cut at *start*, its first escape.
        """
        if not outer.spend(len(text) // _TEXT_STEPS, start):
            return
        scan = Scan(text, outer.steps)
        self._detect(scan, glance.at(text))
        outer.steps = scan.steps
        # What was found lies in the decoded text; it is cut out of the original, from the innermost
        # layer outwards, so everything else stays exactly as it was written.
        for start, end, stand_in in scan.spans:
            for layer in reversed(layers):
                start, end = layer.raw_span(start, end)
            outer.spans.append((start, end, stand_in))

    def _detect(self, scan: Scan, seen: int) -> None:
        """Run every detector that something in the text calls for; *seen*: what a glance found."""
        # Each detector is called for by a few characters it cannot do without: `in` on a text takes
        # 20 to 50 ns, a regular expression over a line 1 to 17 µs.
        text = scan.text
        low = lower(text)
        if seen & glance.LONG_WORD:
            self._long_words(scan, low)
        if seen & glance.LONG_NUMBER:
            for match in scan.each(shapes.CARD):
                if shapes.is_card(match.group()):
                    scan.add(*match.span())
        if "://" in text and "@" in text:
            secret_contexts.credentials(scan)
        if "$" in text or "*" in text or "md5" in text or "{S" in text or "{C" in text:
            for match in scan.each(shapes.HASHES):
                scan.add(*match.span())
        if "earer" in low or "asic" in low or "oken" in low or "igest" in low or "egotia" in low:
            for match in scan.each(shapes.SCHEMES, text=low):
                start, end = match.span(1)
                if values.looks_random(text[start:end]) and low[match.start() - 1] != "_":
                    scan.add(start, end)
        if glance.hints(low):
            self._without_marks(scan, low)
        # every name is set off from its value by a mark, or by a colon of another script
        if seen & glance.MARKS or not text.isascii():
            named_values.find(scan, self._levels.get, self.level)
        secret_contexts.find(scan, low, self.key)

    def _long_words(self, scan: Scan, low: str) -> None:
        text = scan.text
        # Tokens of providers, word by word, so that one very long word is paid for by its length.
        for pattern in self._tokens.asked(text):
            for word in _LONG_WORD.finditer(text):
                start, end = word.span()
                if not scan.spend(1 + (end - start) // _WORD_STEPS, start):
                    return
                for match in pattern.finditer(text, start, end):
                    if match.lastindex and shapes.is_token(match.group()):
                        scan.add(*match.span())
        if "eyJ" in text:
            for match in scan.each(shapes.JWT):
                if match.group(1) is not None:
                    scan.add(*match.span())
        if "-----BEGIN" in text:
            for match in scan.each(shapes.PRIVATE_KEY):
                scan.add(*match.span())
        if ".eJ" in text or ":1" in text or ":2" in text or "s:" in text:
            for match in scan.each(shapes.SIGNED):
                scan.add(*match.span())
        if ":" in text:
            for match in scan.each(shapes.NTLM):
                scan.add(match.start() - 32, match.end())
        if "/" in text:
            if ("://" in text or ".com/" in text) and shapes.may_be_hook(text):
                for match in scan.each(shapes.HOOKS):
                    scan.add(*match.span(1))
            secret_contexts.links(scan, low)

    def _without_marks(self, scan: Scan, low: str) -> None:
        """Secrets that no `=`, `:` or quote need stand before."""
        # white space, escaped or not, is in all that prose finds: names of loggers have none
        blank = "+" in low or "\\" in low or len(low.split(None, 1)) > 1
        if blank and ("pass" in low or "key" in low or "access" in low):
            secret_contexts.prose(scan, low)
        if "code" in low or "pin" in low or "time pass" in low:
            secret_contexts.codes(scan, low)
        command_lines.find(scan)

    def _own(self, text: str) -> str:
        """What the user asked for beyond our own rules."""
        if self._emails and "@" in text:
            text = shapes.EMAIL.sub(REDACTED, text)
        if self._identifiers:
            text = shapes.IBAN.sub(
                lambda match: REDACTED if shapes.is_iban(match.group()) else match.group(), text
            )
        if self._sql_literals and secret_contexts.SQL_STATEMENT.search(text):
            text = secret_contexts.SQL_NUMBER.sub("?", secret_contexts.SQL_TEXT.sub("?", text))
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        if self._callback is None:
            return text
        # When the user's function fails nobody knows what it would have removed: nothing is shown.
        try:
            answer = self._callback(text)
        except Exception as error:
            count_failure("redact.callback", error)
            return REDACTED
        return answer if isinstance(answer, str) else REDACTED


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of the user's.

    Raises:
        ConfigError: naming the pattern and what is wrong with it.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"redact_patterns={pattern!r}: expected a regular expression ({error})"
        ) from None
