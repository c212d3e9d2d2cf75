"""Texts that almost match: what makes a careless pattern read the same characters again and again.

Each is a unit that is repeated up to a size, alone and in the ways in which texts reach a log.
"""

# ruff: noqa: E501  wide letters count twice
from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from proletto_otel.core.redaction.providers import providers

UNITS = (
    "a=", "password=(", "'a', ", "eyJ", "-eyJ", "://a:", "://:", "<a>", "[parameters: (", "1 ",
    "a@", '\\"', "--a ", "select ", "insert into a (b) values (", "password='", "Cookie: ", "4111-",
    "a" * 50 + " ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n-", "mysql ",
    "docker login ", "redis-cli -", "curl -u a", "name=a ", 'key: "a" ', "password is ",
    "code=state=", "--", "password('", "sshpass -p", "Failing row contains (", "\\'", "\\\\'",
    "insert into u (password) values ('", "password 'x\\'", "identified by '", ".eJ", "-.eJ",
    "s:abcdefghabcdefgh.", ":aaaaaa:", "$2b$10$", "$1$", "scrypt:1:", "pbkdf2:sha256:", "{SSHA}",
    "*" + "A" * 39, "md5" + "a" * 31, "hooks.slack.com/services", "a.webhook.office.com/",
    "/reset/", "/reset-", "/password-reset-", "Bearer ", "Bearer a ", "token ", "authorization: ",
    "Authorization: Digest ", "authorization='", "4111 1111 1111 ", "411111111111111", "4.4.4.",
    "Duplicate entry '", "Duplicate entry 'a' for key '", "a\n  [type=", "[type=a, input_value=",
    "password\n  a [type=a, input_value='", "Secret('", "Secret(", "name: password ",
    'name="password"' + " " * 39, "name=password\\\\\\", "password: [", "password: {", "token: (a",
    "('token', '", "['token', ", "'--token', '", "auth=auth=", "auth=", "auth:", "sig='", "pin=",
    "password=a,", "password=,", "a,b=", "token=none", "password={}", "?key=", "?key=a&", "&t=",
    "mot de passe: ", "пароль: ", "密码：", "пароль", "%25", "%2525", "&quot;", "\\u0022", "+", "=+",
    "password -> ", "password | ", "password" + " " * 3, "api key ", "aaaa.", "a-", "a_", "A", "9",
    "a.b.c.d.e:", "x" * 81 + "=", "token\u0301=", "GB00 0000 ", "AA00", "openssl -k ", "zip -P",
    "net use \\\\a ", "htpasswd -b a b ", "vault login ", "ldapsearch -w", "sqlplus a/", "az login ",
    "htpasswd -b -b -b -b a ", "e@e.", "www.", "password=\\\\\\\\", 'password=\\"', "b'", "<a>x</",
    '<password a="', "update a set ", "delete from ", "merge into ", "token=[", "token=(", "\\n",
)  # fmt: skip
"""Beginnings of secrets, separators and quotes that are never closed."""


def units() -> list[str]:
    """All units; the beginning of each provider's tokens among them."""
    prefixes = (re.sub(r"\\(.)", r"\1", provider.prefix) for provider in providers())
    literal = [prefix for prefix in prefixes if re.fullmatch(r"[\w.:/$~+-]+", prefix)]
    return list(dict.fromkeys([*UNITS, *literal, *("-" + prefix for prefix in literal)]))


def texts(unit: str, size: int) -> Iterator[tuple[str, str]]:
    """*unit* repeated to *size* characters in each of the ways, with the way's name."""

    def filled(part: str) -> str:
        return (part * (size // len(part) + 1))[:size]

    yield "plain", filled(unit)
    yield "percent-encoded", filled(quote(unit, safe=""))
    yield "twice encoded", filled(quote(quote(unit, safe=""), safe=""))
    yield "in JSON", filled('{"a":"' + unit.replace('"', '\\"') + '",')
    yield "in a header", filled(f"Cookie: {unit}\n")
    yield "behind an open quote", ("password='" + filled(unit))[:size]
    yield "in an insert", ("insert into u (password) values ('" + filled(unit))[:size]
    yield "in a word", filled(unit.replace(" ", "-"))
