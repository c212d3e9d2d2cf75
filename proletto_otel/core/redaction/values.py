"""What a value says of itself: a credential, a word, a number, a path.

`core.redaction.named_values` asks it for what stands after a name that may promise a secret.
"""

from __future__ import annotations

import re

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.redaction.secret_names import word_set

HARMLESS_VALUES = word_set(
    """none null nil true false undefined unknown required invalid expired missing empty wrong
    incorrect not is are was were must the a an too ok yes no unset str string int bytes bool
    optional this that your please cannot should does has have had with by to in on of at from as
    accepted rejected refused revoked rotated changed valid failed error errors denied and or for
    default n/a - * ? %s %r {} ... **** ***** ****** ******* ******** *** redacted hidden masked
    filtered removed set given provided present absent disabled enabled created deleted updated
    used unused found unexpected illegal malformed signature could unable using got received key
    json base64 decode decoding parse parsing permission access timeout connection context http
    status auth authentication authorization verification validation check checking checked user
    token password secret session login logout lookup fetch fetching refresh refreshing refreshed
    request response rotation generated generating issued issuing stored loaded loading saved
    started starting stopped opening opened closed closing pending success successful succeeded
    failure granted grant ready done skipped skipping ignored ignoring retry retrying will would
    can may might new old same other another any all each some only also already still now when
    while if unless until before after because but so than then there here it its they we you he
    she needs needed need use uses see mismatch mismatched length too-long too-short unsupported
    unauthorized forbidden insufficient exceeded limit unavailable never always initialized
    initializing configured config configuration file path type value name id"""
)
"""Words that follow a name in prose: `token: expired`, `password=None`."""

_PLACEHOLDER = lazy_pattern(
    r"%\(\w+\)s|:[A-Za-z_]\w*$|\$\d+$|\$\{?[A-Z_]+\}?$|\{\w*\}|\(?\[redacted|\*+$"
    r"|<[\w .-]{0,40}>|\.{3}"
)
_ORDINARY = lazy_pattern(
    r"""v?\d{1,5}(?:\.\d{1,6}){0,4}[a-z%]{0,3}   # a number, a version, a duration
      | 0x[0-9A-Fa-f]{1,16}                     # an address
      | (?:\.{0,2}|~|[A-Za-z]:)[/\\][^\s]*      # a path
      | [A-Z]+\d{0,2}(?:_[A-Z]+\d{0,2})*          # a constant: SIGTERM, CONNECTION_REFUSED
      | [a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)+(?::\d{1,5})?  # a host""",
    re.VERBOSE,
)
_PORT = lazy_pattern(r"\d{1,5}|v?\d+(?:\.\d+)+[\w.-]*|latest")
_TAG = lazy_pattern(r"v?\d[\w.:-]*|[a-z]+(?:[-.][a-z0-9]+)*")
_PIN = lazy_pattern(r"\d(?:[ -]?\d){3,15}")
_PARTS = lazy_pattern(r"[^-_.:/,+ ]{8,}")
_CLASSES = (str.islower, str.isupper, str.isdigit, "!@#$%^&*?~+".__contains__)


def is_harmless(text: str) -> bool:
    """Whether *text* only talks: a word of prose, nothing, or a placeholder."""
    if len(text) < 40 and text.lower() in HARMLESS_VALUES:
        return True
    return not text or _PLACEHOLDER.match(text) is not None


def is_ordinary(text: str) -> bool:
    """Whether *text* is a number, a version, a path, a host or a constant."""
    return _ORDINARY.fullmatch(text[:200]) is not None


def is_port_or_tag(text: str, before: str) -> bool:
    """Whether *text*, after a bare colon, goes on a host (`:5432`), an image, a key of a cache.

    Args:
        text: What follows the colon.
        before: The character before the name: a path or the value of another name.
    """
    short = re.split(r"[/?#@]", text[:80], maxsplit=1)[0]
    if _PORT.fullmatch(short):
        return True
    in_path = before in ("/", "@", ".") or (before == "=" and short[:1].isdigit())
    return in_path and _TAG.fullmatch(short) is not None


def is_pin(text: str) -> bool:
    """Whether *text* is four digits or more: `4711`, `123-456-789`."""
    return _PIN.fullmatch(text) is not None


def looks_generated(text: str) -> bool:
    """Whether *text* was made by a machine: characters and digits mixed, or changing case.

    Slugs (`orders-2024`), dates, numbers and UPPER_CASE constants are not.
    """
    return any(map(_is_generated, _PARTS.findall(text[:500])))


def _is_generated(part: str) -> bool:
    alphabetic = sum(map(str.isalpha, part))
    if 2 <= alphabetic <= len(part) - 2:
        return True
    inner = part[1:]
    mixed = inner != inner.lower() and inner != inner.upper()
    # Changing case is a sign unless four fifths of it are words: `AuthenticationManager`.
    words = sum(map(len, _HUMP.findall(part)))
    camel = words >= 0.8 * len(part)
    return (mixed and len(part) >= 12 and not camel) or len(part) >= 40 > 20 + alphabetic


_HUMP = lazy_pattern(r"[A-Z]?[a-z]{3,}|[A-Z]{2,5}(?=[A-Z][a-z]|$)")


def looks_random(text: str) -> bool:
    """Whether *text*, after an authorization scheme, is a credential and no English word."""
    has_alphabetic = any(c.isalpha() for c in text)
    if any(c.isdigit() for c in text):
        return (has_alphabetic and len(text) >= 8) or len(text) >= 12
    inner = text[1:]
    mixed = inner != inner.lower() and inner != inner.upper()
    return len(text) >= 20 or (mixed and len(text) >= 8) or text.endswith("=")


def looks_chosen(text: str) -> bool:
    """Whether *text* is more likely a password than a word: three of four kinds of characters."""
    return sum(any(map(is_one, text)) for is_one in _CLASSES) >= 3
