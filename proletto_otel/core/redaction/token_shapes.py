"""What a secret looks like without a name: tokens with a known prefix, DSNs, cards, keys.

Each pattern runs in time linear in the text. Which names promise a secret lives in
`core.redaction.secret_names`, where they stand in `core.redaction.secret_contexts`;
`core.redaction.redactor` puts it together.
"""

from __future__ import annotations

import re

TOKENS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
      eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_=-]*){1,4}              # JWT, JWE, signed sessions
    | (?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}  # AWS key IDs
    | AIza[A-Za-z0-9_-]{30,}                                      # Google API keys
    | ya29\.[A-Za-z0-9_-]{16,} | GOCSPX-[A-Za-z0-9_-]{16,}        # Google OAuth
    | gh[opsur]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{16,}
    | xox[a-z]-[A-Za-z0-9-]{8,} | xapp-[A-Za-z0-9-]{8,} | xoxe\.[A-Za-z0-9.-]{8,}  # Slack
    | (?:sk|rk|pk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}         # Stripe
    | sk-(?:[a-z]{2,10}-)?[A-Za-z0-9_-]{20,}                      # model providers
    | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}                  # SendGrid
    | npm_[A-Za-z0-9]{20,} | pypi-[A-Za-z0-9_-]{20,} | hf_[A-Za-z0-9]{20,}
    | (?:dop|doo|dor)_v1_[a-f0-9]{32,} | dapi[a-f0-9]{32} | hvs\.[A-Za-z0-9_-]{20,}
    | shp(?:at|ss|ca|pa)_[a-fA-F0-9]{24,} | sq0[a-z]{3}-[A-Za-z0-9_-]{20,}
    | (?:SK|AC)[0-9a-f]{32} | key-[0-9a-f]{32} | glsa_[A-Za-z0-9_]{20,} | lin_api_[A-Za-z0-9]{20,}
    | \d{8,10}:[A-Za-z0-9_-]{35}                                  # Telegram bots
    | AGE-SECRET-KEY-1[A-Z0-9]{40,}
    )(?![A-Za-z0-9])""",
    re.VERBOSE,
)

HOOKS = re.compile(
    r"(?:https?://)?(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)"
    r"|(?:discord|discordapp)\.com/api/webhooks"
    r"|[\w-]{1,63}\.webhook\.office\.com)/[^\s\"'<>]+"
)
"""Webhook URLs: whoever has one may post, so the whole URL is the secret."""

PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?!-----END ).)*(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?",
    re.DOTALL,
)
"""A private key; one that was cut off reaches to the end of the text."""

CREDENTIALS = re.compile(
    r"(?<=://)(?:([^\s:/?#@\"'<>]{0,128}):"
    r"(?:[^\s/?#\"'<>]{1,512}|(?!\d{1,5}[/?#])[^\s\"'<>]{1,512})@"
    r"|[A-Za-z0-9_-]{20,512}(?=@))"
)
"""`user:password@` of a URL, and a long token in the user's place. A port is no password."""

SCHEMES = re.compile(
    r"\b((?:[Bb]earer|BEARER|[Bb]asic|BASIC|[Dd]igest|[Nn]egotiate|[Tt]oken)[ \t]{1,4})"
    r"(?!realm=)([A-Za-z0-9._~+/=-]{6,})"
)
"""An authorization scheme and what may be its credential: `looks_random` decides."""

CARD = re.compile(
    r"(?<![\w.+-])(?<!\d[ ,])(?:\d{13,19}"
    r"|\d{4}([ .-])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ .-])\d{6}\2\d{4,5})(?![\w+]|[.,-]\d)"
)
"""Digits grouped as on a card; `is_card` decides."""

_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}|62\d{14,17}|(?:50|5[6-9]|6[0379])\d{10,17}"
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")

ENCODED = re.compile(r"[^\s\"<>]+")
"""What may be a URL or a part of one: the redactor decides."""
ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
URL_SAFE = "/:?#[]@!$&'()*,;={}|~"


def is_card(text: str) -> bool:
    """Whether *text* has an issuer's prefix and length and the right check digit (Luhn)."""
    digits = re.sub(r"[ .-]", "", text)
    if not _ISSUERS.fullmatch(digits):
        return False
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(_DOUBLED[int(d)] for d in even)) % 10 == 0


def looks_random(text: str) -> bool:
    """Whether *text* is more likely a credential than an English word."""
    letters = any(c.isalpha() for c in text)
    if any(c.isdigit() for c in text):
        return (letters and len(text) >= 8) or len(text) >= 12
    inner = text[1:]
    mixed = inner != inner.lower() and inner != inner.upper()
    return len(text) >= 20 or (mixed and len(text) >= 8) or text.endswith("=")


_CLASSES = (str.islower, str.isupper, str.isdigit, "!@#$%^&*?~+".__contains__)


def looks_chosen(text: str) -> bool:
    """Whether *text* is more likely a password than a word: three of four kinds of characters."""
    return sum(any(map(is_one, text)) for is_one in _CLASSES) >= 3
