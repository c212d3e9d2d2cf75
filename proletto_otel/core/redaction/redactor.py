"""Redaction of text: by the name before a value, and by the value's own shape.

It never repeats what it matched. Control characters, sizes and nesting live in
`core.redaction.sanitise`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote, unquote_plus

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.redaction import secret_contexts as places
from proletto_otel.core.redaction import secret_names
from proletto_otel.core.redaction import token_shapes as shapes

REDACTED = "[redacted]"
MAX_KNOWN_KEYS = 4096
"""Names whose decision is remembered; a program uses a few hundred."""
MAX_KEY = 200

HARMLESS_VALUES = secret_names.word_set(
    """none null nil true false undefined unknown required invalid expired missing empty wrong
    incorrect not is are was must the a an too ok yes no unset str string int bytes bool optional
    this that your please cannot should does has have with by
    accepted rejected refused revoked rotated changed valid failed error denied and or for
    default n/a - * ? %s %r {} ... **** ***** ****** ******* ******** ***"""
)
"""Words that follow a name in prose: `token: expired`, `password=None`."""
_PLACEHOLDER = re.compile(r"%\(\w+\)s|:\w+|\$\d+|\{\w*\}|\[redacted|\*+$")
_OPENING = re.compile(r"[bru]{0,2}(\\*[\"'])")
_CLOSERS = ")]}.:!?"

_FRAGMENTS = secret_names.word_set(
    "pass pw secret token key auth cookie cred sid sess csrf xsrf jwt bearer cv ssn dsn otp mfa pin"
    " conn sig hmac card hook identif kennw senha contras"
)
"""Every secret name holds one of these; a text with none of them names no secret."""

_RUN, _MARK, _BLANK = ord("a"), ord("!"), ord(" ")


def _kind(char: str) -> int:
    if char.isalnum() or char in "_/+.-":
        return _RUN
    return _MARK if char in "=:@<\"'%\n" else _BLANK


_KINDS = bytes(_kind(chr(i)) if i < 128 else _BLANK for i in range(256))
_DIGITS = bytes(ord("0") if 48 <= i <= 57 else _BLANK for i in range(256))
_LONG_RUN, _LONG_NUMBER = b"a" * 16, b"0" * 13


def is_ordinary(text: str) -> bool:
    """Whether a glance (under 1 µs on a log line) shows that nothing in *text* can be a secret."""
    raw = text.encode("ascii", "replace")
    kinds = raw.translate(_KINDS)
    return not (
        b"!" in kinds
        or _LONG_RUN in kinds
        or _LONG_NUMBER in raw.translate(_DIGITS, b" .-")
        or b"--" in raw
        or b"earer " in raw
        or b"asic " in raw
        or b"EARER " in raw
        or b"oken " in raw
    )


class Redactor:
    """Replaces secrets in texts and knows which names promise one.

    Args:
        patterns: More regular expressions; what they match is replaced.
        keys: More names whose values are secret.
        allow: Names whose values are never secret.
        callback: Called with every text after our own rules; gives the text to use instead. When
            it raises, the whole text is replaced.
        emails: Replace email addresses too.
        sql_literals: Replace literals in SQL texts by `?`.

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
    ) -> None:
        self._patterns = tuple(compiled(pattern) for pattern in patterns)
        self._more = {secret_names.joined(key) for key in keys}
        self._allowed = {secret_names.joined(key) for key in allow}
        self._fragments = (*_FRAGMENTS, *(key[:4] for key in self._more))
        self._callback = callback
        self._emails = emails
        self._sql_literals = sql_literals
        self._known: dict[str, bool] = {}
        self.thorough = bool(self._patterns or callback or emails or sql_literals)
        """Whether even an ordinary text must be looked at."""
        self.constant = callback is None
        """Whether the same text always gives the same: a callback may change its mind."""

    def key(self, name: str) -> bool:
        """Whether the value under *name* is a secret."""
        known = self._known.get(name)
        return self._decide(name) if known is None else known

    def text(self, text: str) -> str:
        """*text* with every secret replaced by `[redacted]`."""
        if is_ordinary(text):
            text = _without_marks(text)
            return self._own(text) if self.thorough else text
        return self._own(self._scan(text))

    def code(self, text: str) -> str:
        """A line of source code: literals are secrets, the names of variables are not."""
        return self._own(self._scan(text, literals_only=True))

    def url(self, url: str) -> str:
        """A URL: credentials, and values of the query whose names are secret."""
        return self.text(url)

    def _decide(self, name: str) -> bool:
        short = name[:MAX_KEY]
        plain = secret_names.joined(short)
        secret = plain in self._more or secret_names.is_secret(short)
        secret = secret and plain not in self._allowed
        if len(name) <= MAX_KEY:
            if len(self._known) >= MAX_KNOWN_KEYS:
                self._known = {}
            self._known[name] = secret
        return secret

    def _scan(self, text: str, literals_only: bool = False, depth: int = 3) -> str:
        low = text.lower()
        if "://" in text or "/" in text:
            text = shapes.CREDENTIALS.sub(_credentials, shapes.HOOKS.sub(REDACTED, text))
        if "PRIVATE KEY" in text:
            text = shapes.PRIVATE_KEY.sub(REDACTED, text)
        if "cookie" in low or "authorization" in low:
            text = places.HEADER.sub(self._header, text)
        text = shapes.TOKENS.sub(REDACTED, text)
        text = shapes.SCHEMES.sub(_scheme, text)
        if "code=" in low and "state=" in low:
            text = places.OAUTH_CODE.sub(rf"\1{REDACTED}", text)
        text = _without_marks(text)
        text = shapes.CARD.sub(_card, text)
        if any(fragment in low for fragment in self._fragments):
            text = self._by_name(text, literals_only)
        if "Failing row" in text:
            text = places.ROW_VALUES.sub(rf"\1({REDACTED})", text)
        if depth and not literals_only and ("%" in text or "+" in text):  # a URL in a URL
            text = shapes.ENCODED.sub(lambda match: self._encoded(match.group(), depth - 1), text)
        return text

    def _encoded(self, word: str, depth: int) -> str:
        """A percent-encoded *word*; it stays as it is unless there is a secret behind it."""
        if not shapes.ESCAPE.search(word) and not ("+" in word and "=" in word):
            return word
        for decode in (unquote_plus, unquote):
            plain = decode(word)
            clean = self._scan(plain, depth=depth)
            if clean != plain:
                word = quote(clean, shapes.URL_SAFE)
        return word

    def _by_name(self, text: str, literals_only: bool) -> str:
        if "[parameters:" in text or "nsert" in text or "NSERT" in text:
            text = self._sql(text)
        if "alue" in text or "form-data" in text:
            text = places.PAIR.sub(self._pair, text)
        text = self._named(text, literals_only)
        if "</" in text:
            text = places.XML.sub(self._element, text)
        if "-" in text:
            text = places.OPTION.sub(self._option, text)
        return places.SQL_SECRET_TEXT.sub(rf"\1{REDACTED}", text)

    def _named(self, text: str, literals_only: bool) -> str:
        """Replace values after secret names; a value after another name is searched in turn."""
        parts, done, match = [], 0, places.NAME.search(text)
        while match is not None:
            position = match.end()
            value = places.VALUE.match(text, position) if self.key(match.group(1)) else None
            if value is not None and (not literals_only or _is_literal(value.group())):
                parts += [text[done:position], _stand_in(value.group())]
                done = position = value.end()
            match = places.NAME.search(text, position)
        return "".join((*parts, text[done:]))

    def _header(self, match: re.Match[str]) -> str:
        name, between, value = match.groups()
        if not self.key(name) or value.lower() in HARMLESS_VALUES:
            return match.group()
        return f"{name}{between}{REDACTED}"

    def _element(self, match: re.Match[str]) -> str:
        return match.group(1) + REDACTED if self.key(match.group(2)) else match.group()

    def _pair(self, match: re.Match[str]) -> str:
        start, name, between = match.groups()
        return f"{start}{name}{between}{REDACTED}" if self.key(name) else match.group()

    def _option(self, match: re.Match[str]) -> str:
        start, name, value = match.groups()
        if not self.key(name) or value.lower() in HARMLESS_VALUES or value.startswith("[redacted"):
            return match.group()
        return start + REDACTED

    def _sql(self, text: str) -> str:
        """Values that SQL keeps away from their column's name."""
        if any(self.key(word) for word in re.findall(r"\w{2,60}", text[:8000])):
            end = max(text.rfind(closer) for closer in (")]", "]]", "}]")) + 2
            text = places.SQL_PARAMETERS.sub(self._parameters, text[:end]) + text[end:]
        return places.SQL_INSERT.sub(self._insert, text)

    def _parameters(self, match: re.Match[str]) -> str:
        start, values, end = match.groups()
        # named parameters are decided name by name later; positions tell nothing
        return match.group() if values.startswith("{") else f"{start}{REDACTED}{end}"

    def _insert(self, match: re.Match[str]) -> str:
        start, columns, values = match.groups()
        if any(self.key(column) for column in re.findall(r"\w+", columns)):
            values = places.SQL_TEXT.sub(REDACTED, values)
        return str(start) + str(values)

    def _own(self, text: str) -> str:
        if not self.thorough:
            return text
        if self._emails and "@" in text:
            text = shapes.EMAIL.sub(REDACTED, text)
        if self._sql_literals and places.SQL_STATEMENT.search(text):
            text = places.SQL_NUMBER.sub("?", places.SQL_TEXT.sub("?", text))
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text if self._callback is None else self._ask(self._callback, text)

    def _ask(self, callback: Callable[[str], str], text: str) -> str:
        try:
            answer = callback(text)
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


def _is_literal(value: str) -> bool:
    return value.lstrip("bru\\")[:1] in ("'", '"')


def _stand_in(value: str) -> str:
    """What replaces a secret: quotes stay, harmless words and placeholders stay."""
    core = value.strip("\\\"'") if _is_literal(value) else value
    text = core.rstrip(_CLOSERS)
    if not text or text.lower() in HARMLESS_VALUES or _PLACEHOLDER.match(core):
        return value
    if _is_literal(value):
        opening = _OPENING.match(value)
        quote = opening.group(1) if opening else ""
        return f"{quote}{REDACTED}{quote}"
    return REDACTED if value[0] in "([{" else REDACTED + value[len(text) :]


def _credentials(match: re.Match[str]) -> str:
    user = match.group(1)
    return REDACTED if user is None else f"{user}:{REDACTED}@"


def _without_marks(text: str) -> str:
    """Secrets that no `=`, `:` or quote need stand before."""
    if "assword" in text or "assphrase" in text or "key " in text or "key%20" in text:
        text = places.PROSE.sub(_said, text)
    if " -" in text or "'-" in text or '"-' in text:
        text = _options_of_programs(text)
    return text


def _options_of_programs(text: str) -> str:
    low = text.lower()
    if "curl" in low:
        text = places.CURL_USER.sub(rf"\1{REDACTED}", text)
    if any(program in low for program in places.PROGRAMS):
        text = places.PROGRAM_SECRET.sub(rf"\1{REDACTED}", text)
    return text


def _said(match: re.Match[str]) -> str:
    start, value = match.groups()
    return start + REDACTED if shapes.looks_chosen(value) else match.group()


def _scheme(match: re.Match[str]) -> str:
    return match.group(1) + REDACTED if shapes.looks_random(match.group(2)) else match.group()


def _card(match: re.Match[str]) -> str:
    return REDACTED if shapes.is_card(match.group()) else match.group()
