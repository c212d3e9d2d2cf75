"""Where secrets stand in a text apart from names: in SQL, in prose, in pairs, in error texts.

Each detector reads the text once: what a pattern has read it takes, and the search goes on after
it.
What a secret looks like by itself lives in `core.redaction.token_shapes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.redaction import token_shapes as shapes
from proletto_otel.core.redaction import values
from proletto_otel.core.redaction.scan import Scan

IsSecret = Callable[[str], bool]

XML = lazy_pattern(r"<([\w.:-]{1,80})(?: [^<>]{0,200})?>([^<]{1,4000})(?=</)")
OPTION = lazy_pattern(r"-(?<![\w-]-)-?([A-Za-z][\w.-]{1,40})\s{1,3}([^\s-]\S*)")

_BLANK = r"(?:\s|\+|\\[nrt])"
"""White space, in a Python literal too."""
_IS = rf"{_BLANK}{{0,3}}[:=]{_BLANK}{{0,3}}"

PROSE = lazy_pattern(
    rf"""(?:password|passphrase|passwd|api[ _+-]?key|secret[ _-]key|access[ _-]token)
    (?: ({_BLANK}{{0,3}}
        (?:(?:is|was):?|:{_BLANK}{{0,3}}=|->|→|⇒|\||is{_BLANK}set{_BLANK}to|set{_BLANK}to|equals)
        {_BLANK}{{1,3}}) | {_BLANK}{{1,3}}(?:(?:is|was){_BLANK}{{1,3}})? )
    \\{{0,8}}["'`]?([^\s"'`,;/=()\[\]{{}}\\|]{{4,128}})""",
    re.VERBOSE,
)
"""What people write of a secret: `the password is …`, `password -> …`, `password | …`."""

CODE = lazy_pattern(
    r"(?:verification|security|confirmation|access|one[ -]time|login|reset|activation|recovery"
    r"|backup|auth|authentication|sms|2fa)[ -](?:pass)?(?:code|pin|password)s?\s{0,3}"
    r"(?:is|was|=|:)\s{1,3}([a-z0-9-]{4,16})(?![\w-])"
)

PAIR = lazy_pattern(
    rf"""(?:name|Name|key|Key)\\{{0,8}}["']?{_IS}\\{{0,8}}["']?([\w.-]{{1,80}})
    (?:\\{{0,8}}["']?(?:{_BLANK}|[,;|]){{1,40}}\\{{0,8}}["']?[Vv]alue\\{{0,8}}["']?{_IS}\\{{0,8}}["']?
    | \\{{0,8}}"(?:{_BLANK}|\|){{2,40}})(?!\[redacted)
    ((?<=["'])[^"'\\\n]{{1,4000}}|[^\s"',;}}<>\\]{{1,4000}})""",
    re.VERBOSE,
)
"""A name and a value that stand apart: `{{"name": "password", "value": …}}`, XML, YAML, forms."""

DUPLICATE = lazy_pattern(r"Duplicate entry '([^'\n]{1,2000})' for key '([^'\n]{1,200})'")
PYDANTIC = lazy_pattern(
    r"^([\w.\[\]-]{1,200})\n {2}[^\n]{0,2000}?\[type=\w{1,60}, input_value=([^\n]{1,2000})", re.M
)
_PYDANTIC_VALUE = lazy_pattern(r"'(?:[^'\\]|\\.)*'?|[^,\s]+")
SECRET_CALL = lazy_pattern(r"(?<![\w.])Secret(?:Str|Bytes|Value|Text)?\(b?['\"]([^'\"\n]{1,2000})")

SQL_SECRET_TEXT = lazy_pattern(
    r"(?:password|identified\s{1,5}by(?:\s{1,5}password)?)\s{1,5}e?'((?:[^'\\]|''|\\.)*)"
)
SQL_INSERT = lazy_pattern(
    r"""(?:insert\s{1,20}(?:ignore\s{1,5})?|replace\s{1,20})into\s{1,20}[\w."`\[\]]{1,100}
    \s{0,20}\(([^()]{1,4000})\)\s{0,20}values\s{0,20}""",
    re.VERBOSE,
)
SQL_STATEMENT = lazy_pattern(
    r"(?i)\b(?:select\b[^;]{0,400}\bfrom|insert\s{1,20}into|update\b[^;]{0,400}\bset"
    r"|delete\s{1,20}from|replace\s{1,20}into|merge\s{1,20}into)\b"
)
SQL_TEXT = lazy_pattern(r"'((?:[^'\\]|''|\\.)*)'?")
SQL_NUMBER = lazy_pattern(r"(?<![\w.$:%])\d+(?:\.\d+)?\b")
_PARAMETERS = "[parameters: "
_PARAMETERS_END = lazy_pattern(r"[)\]}]\]")


def find(scan: Scan, low: str, is_secret: IsSecret) -> None:
    """Run the detectors that something in the text calls for; *low* is it in lower case."""
    text = scan.text
    if _PARAMETERS in text or "nsert" in low or "replace into" in low:
        _sql(scan, low, is_secret)
    if "alue" in text or "form-data" in text:
        _named(scan, PAIR, is_secret)
    if "</" in text:
        _named(scan, XML, is_secret)
    if "-" in text:
        _named(scan, OPTION, is_secret)
    if "uplicate entry" in text:
        for match in scan.each(DUPLICATE):
            if is_secret(match.group(2)):
                scan.add(*match.span(1))
    if "input_value=" in text:
        # Pydantic's errors repeat what was given: `[type=…, input_value='hunter2', …]`.
        for match in scan.each(PYDANTIC):
            value = _PYDANTIC_VALUE.match(scan.text, match.start(2))
            if value is not None and is_secret(match.group(1)):
                scan.add(*value.span())
    if "Secret" in text:
        for match in scan.each(SECRET_CALL):
            if "*" not in match.group(1) and not match.group(1).startswith("[redacted"):
                scan.add(*match.span(1))
    if "Failing row" in text:
        _failing_row(scan)
    if "'" in text and ("password " in low or "identified" in low):
        for match in scan.each(SQL_SECRET_TEXT, text=low):
            scan.add(*match.span(1))


def credentials(scan: Scan) -> None:
    """Every URL in what was read as one, `http://proxy/?to=postgres://u:p@h` too."""
    for match in scan.each(shapes.URL):
        position = match.start(1)
        for url in match.group(1).split("://"):
            if not scan.spend(1, position):
                break
            found = shapes.credentials(url)
            if found is not None:
                scan.add(position + found[0], position + found[1])
            position += len(url) + 3


def prose(scan: Scan, low: str) -> None:
    """What people write of a secret in a sentence; *low* is the text in lower case."""
    for match in scan.each(PROSE, text=low):
        word = scan.text[match.start(2) : match.end(2)]
        if match.start() and low[match.start() - 1].isalnum():
            continue
        said = match.group(1) is not None and not values.is_harmless(word.rstrip(".:!?"))
        if (said and len(word) > 3) or (len(word) >= 8 and values.looks_chosen(word)):
            scan.add(*match.span(2))


def codes(scan: Scan, low: str) -> None:
    """`Your verification code: 123456`."""
    for match in scan.each(CODE, text=low):
        if any(map(str.isdigit, match.group(1))):
            scan.add(*match.span(1))


def links(scan: Scan, low: str) -> None:
    """`/reset/<token>`: the parts of the path that look generated."""
    for match in scan.each(shapes.LINKS, text=low):
        position = match.start(1)
        for part in scan.text[position : match.end()].split("/")[1:]:
            position += 1
            if len(part) >= 10 and values.looks_generated(part):
                scan.add(position, position + len(part))
            position += len(part)


def _named(scan: Scan, pattern: re.Pattern[str], is_secret: IsSecret) -> None:
    for match in scan.each(pattern):
        value = match.group(2)
        if is_secret(match.group(1)) and not values.is_harmless(value):
            scan.add(*match.span(2))


def _failing_row(scan: Scan) -> None:
    """PostgreSQL's DETAIL line repeats the whole row."""
    text, start = scan.text, 0
    while (start := text.find("Failing row contains (", start)) >= 0:
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        close = text.rfind(")", start, end)
        scan.add(start + 22, close if close > 0 else end)
        start = end


def _sql(scan: Scan, low: str, is_secret: IsSecret) -> None:
    """Values that SQL keeps away from their column's name."""
    text = scan.text
    if _PARAMETERS in text and any(is_secret(w) for w in re.findall(r"\w{2,60}", text[:4000])):
        start = 0
        while (start := text.find(_PARAMETERS, start)) >= 0 and scan.spend(1, start):
            start += len(_PARAMETERS)
            end = _PARAMETERS_END.search(text, start)
            if end is None:
                break
            # named parameters are decided name by name; positions tell nothing
            if text[start] != "{":
                scan.add(start, end.start() + 1)
            start = end.end()
    for match in scan.each(SQL_INSERT, text=low):
        if any(is_secret(column) for column in re.findall(r"\w+", match.group(1))):
            for value in scan.each(SQL_TEXT, match.end()):
                scan.add(*value.span(1))
            break  # every text after it is gone
