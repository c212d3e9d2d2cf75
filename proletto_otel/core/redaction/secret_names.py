"""Which names promise a secret: `password`, `X-Api-Key`, `dbPassword`; and which only talk of one.

Decided by words, so `token_count` and `password_policy` stay readable. What a secret looks like
without a name lives in `core.redaction.token_shapes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


def word_set(text: str) -> frozenset[str]:
    """The words of *text*: tables of words read better as lines than as lists."""
    return frozenset(text.split())


SECRET_WORDS = word_set(
    """password passwords passwd passphrase pwd passcode secret secrets token tokens apikey apikeys
    authorization cookie cookies credential credentials privatekey secretkey accesskey signingkey
    encryptionkey masterkey authkey sharedkey accountkey csrf xsrf csrftoken csrfmiddlewaretoken
    jwt bearer sessionid sessid phpsessid jsessionid sid cvv cvc cvv2 ssn dsn otp totp mfa
    pincode connectionstring signature sig hmac creditcard cardnumber cardno cardpin sessionkey
    webhookurl pw pass
    authtoken accesstoken refreshtoken idtoken sessiontoken bearertoken clientsecret appsecret
    secretaccesskey accesskeyid auth appkey passwort kennwort contrasena senha"""
)
"""A name is secret when one of its words, or two or three neighbours joined, is one of these."""

HARMLESS_ENDINGS = word_set(
    """age at attempts budget bucket changed class column count created deadline description
    disabled enabled endpoint error errors exists expired expires expiry failed field fields file
    filename format for header help hint id index invalid is issued issuer kind label last
    left len length level lifetime limit limits max method min missing mode name names ok path
    policies policy present provider remaining required reset result revoked ring rotated rotation
    rule rules scheme seconds service size source state status store strength table time timeout
    title total ttl type types updated url usage used user valid validity version view when
    backend config"""
)
"""Last words that make a name talk *about* a secret: `token_type`, `password_changed_at`."""

SECRET_ANYWAY = word_set(
    "secretid sessionid accesskeyid webhookurl secreturl tokenid awsaccesskeyid signedurl"
)
"""Joined last two or three words that stay secret in spite of a harmless ending."""

COUNTABLE = frozenset(("tokens", "cookies"))
"""Last words that are as likely to count: a number under them stays."""

HARMLESS_STARTS = frozenset(("max", "min", "num", "total", "prompt", "completion", "public"))

GLUED = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "secretkey",
    "accesskey", "privatekey", "credential", "credentials",
)  # fmt: skip
"""Ends of a word that is two without a sign of it: a server writes the header `dbPassword` as
`Dbpassword`. No ordinary word ends like that but `betoken`."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")


def words(name: str) -> list[str]:
    """The lower-case words of *name*: `dbPassword`, `db-password` → `db`, `password`."""
    return [word.lower() for word in _WORDS.findall(name[:200])]


def joined(name: str) -> str:
    """*name* without what separates its words, in lower case."""
    return "".join(words(name))


def is_secret(name: str) -> bool:
    """Whether a value under *name* is a secret as far as the name tells."""
    parts = words(name)
    tails = {"".join(parts[-n:]) for n in (2, 3)}
    if tails & SECRET_ANYWAY:
        return True
    if not parts or parts[-1] in HARMLESS_ENDINGS or parts[0] in HARMLESS_STARTS:
        return False
    return any(run in SECRET_WORDS for run in _runs(parts)) or any(
        part.endswith(GLUED) for part in parts
    )


def is_countable(name: str) -> bool:
    """Whether a number under *name* is more likely a count than a secret."""
    return bool(COUNTABLE.intersection(words(name)[-1:]))


def _runs(parts: list[str]) -> Iterable[str]:
    for length in (1, 2, 3):
        for start in range(len(parts) - length + 1):
            yield "".join(parts[start : start + length])
