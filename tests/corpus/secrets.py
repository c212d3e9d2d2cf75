"""Secret canaries in the shapes in which they reach logs.

Values are made by a seeded generator, so that no literal in this file looks like a real secret.
"""

from __future__ import annotations

import base64
import random
import string
from dataclasses import dataclass
from itertools import pairwise

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Canary:
    """A text, and the part of it that must be seen in no sink."""

    kind: str
    text: str
    secret: str


def canaries() -> list[Canary]:
    """All canaries; the same ones on every call."""
    rng = random.Random(20250510)
    kinds = (_named, _shaped, _urls, _cards, _sql, _headers, _programs, _pairs, _said)
    return [canary for kind in kinds for canary in kind(rng)]


def keyed() -> list[tuple[str, str]]:
    """Field names with secret values of no recognisable shape."""
    rng = random.Random(7)
    return [(key, _word(rng)) for key in KEYS]


def _take(rng: random.Random, alphabet: str, n: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(n))


def _word(rng: random.Random) -> str:
    """A password as people choose them."""
    word = _take(rng, string.ascii_lowercase, 9)
    return rng.choice([word, word.title() + "7", "zz" + _take(rng, string.digits, 6) + word[:3]])


KEYS = (
    "password", "passwd", "PASSWORD", "user_password", "dbPassword", "password_hash",
    "new-password", "Dbpassword", "mysqlpwd", "usertoken", "X-Stripesecret",
    "passphrase", "pwd", "secret", "client_secret", "SECRET_KEY", "aws_secret_access_key", "token",
    "access_token", "refreshToken", "id_token", "csrf_token", "csrfmiddlewaretoken", "api_key",
    "apikey", "X-Api-Key", "apiKey", "private_key", "authorization", "Proxy-Authorization",
    "session_id", "credentials", "connection_string", "cvv", "card_number", "ssn", "otp", "jwt",
    "SLACK_BOT_TOKEN", "webhook_url", "database.password", "signature", "x-amz-signature", "dsn",
)  # fmt: skip

_TEMPLATES = (
    "{key}={value}",
    "login with {key}={value} failed",
    "{key}: {value}",
    'config {{"{key}": "{value}", "size": 3}}',
    "kwargs={{'{key}': '{value}', 'n': 1}}",
    "GET /login?next=%2F&{key}={value}&page=2",
    "[('{key}', '{value}'), ('n', '1')]",
    'body "{{\\"{key}\\":\\"{value}\\"}}"',
    "Call(user='bob', {key}='{value}')",
    "run --{key} {value} --verbose",
    "<{key}>{value}</{key}>",
    "DETAIL:  Key ({key})=({value}) already exists.",
    "form%5B{key}%5D {key}%3D{value}",
    "env {key}='{value}' started",
)


def _named(rng: random.Random) -> list[Canary]:
    found = []
    for i, key in enumerate(KEYS):
        for j in range(3):
            template = _TEMPLATES[(i * 3 + j) % len(_TEMPLATES)]
            value = _word(rng)
            found.append(Canary(f"named:{key}", template.format(key=key, value=value), value))
    return found


def _shaped(rng: random.Random) -> list[Canary]:
    def take(n: int, alphabet: str = ALNUM) -> str:
        return _take(rng, alphabet, n)

    jwt = ".".join(
        base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
        for part in ('{"alg":"HS256","typ":"JWT"}', '{"sub":"1234567890"}', take(24))
    )
    up = string.ascii_uppercase + string.digits
    tokens = {
        "jwt": jwt,
        "aws": "AKIA" + take(16, up),
        "aws-sts": "ASIA" + take(16, up),
        "google": "AIza" + take(35),
        "google-oauth": "ya29." + take(40),
        "github": "ghp_" + take(36),
        "github-app": "ghs_" + take(36),
        "github-pat": "github_pat_" + take(60),
        "gitlab": "glpat-" + take(20),
        "slack-bot": "xoxb-" + take(11, string.digits) + "-" + take(24),
        "slack-user": "xoxp-" + take(11, string.digits) + "-" + take(24),
        "slack-app": "xapp-1-" + take(30),
        "stripe": "sk_live_" + take(24),
        "stripe-restricted": "rk_live_" + take(24),
        "model": "sk-proj-" + take(40),
        "sendgrid": "SG." + take(22) + "." + take(43),
        "npm": "npm_" + take(36),
        "pypi": "pypi-AgEIcHlwaS5vcmc" + take(40),
        "hf": "hf_" + take(34),
        "digitalocean": "dop_v1_" + take(64, HEX),
        "vault": "hvs." + take(24),
        "shopify": "shpat_" + take(32, HEX),
        "twilio": "SK" + take(32, HEX),
        "mailgun": "key-" + take(32, HEX),
        "telegram": take(9, "123456789") + ":" + take(35),
    }
    shapes = ("{}", "refused {} at 12:30", "cannot use ({}), sorry", "value='{}'")
    found = [Canary(k, shape.format(v), v) for k, v in tokens.items() for shape in shapes]
    key = "\n".join(take(64) for _ in range(4))
    for label in ("RSA ", "", "EC ", "OPENSSH "):
        block = f"-----BEGIN {label}PRIVATE KEY-----\n{key}\n-----END {label}PRIVATE KEY-----"
        found.append(Canary("private-key", f"loaded {block} from disk", key.split("\n")[1]))
    found.append(Canary("private-key-cut", f"-----BEGIN PRIVATE KEY-----\n{key}", key[-30:]))
    return found


def _urls(rng: random.Random) -> list[Canary]:
    found = []
    for scheme in ("postgresql", "mysql+pymysql", "redis", "amqp", "https", "mongodb+srv"):
        word = _word(rng)
        found.append(Canary("dsn", f"connect {scheme}://bob:{word}@db.internal:5432/shop", word))
        tricky = f"{word}/x@y"
        found.append(Canary("dsn", f"{scheme}://bob:{tricky}@db/shop is down", tricky))
        found.append(Canary("dsn", f'url="{scheme}://:{word}@cache/0"', word))
    for host in ("hooks.slack.com/services", "discord.com/api/webhooks"):
        tail = "/".join((_take(rng, ALNUM, 9), _take(rng, ALNUM, 11), _take(rng, ALNUM, 24)))
        found.append(Canary("webhook", f"POST https://{host}/{tail} gave 500", tail))
    key = _take(rng, HEX, 32)
    found.append(Canary("sentry-dsn", f"https://{key}@o1.ingest.example.com/2", key))
    return found


def _luhn(prefix: str, length: int, rng: random.Random) -> str:
    body = prefix + _take(rng, string.digits, length - len(prefix) - 1)
    total = 0
    for i, digit in enumerate(reversed(body)):
        n = int(digit) * (2 if i % 2 == 0 else 1)
        total += n - 9 if n > 9 else n
    return body + str(-total % 10)


def _cards(rng: random.Random) -> list[Canary]:
    found = []
    kinds = (
        ("4", 16),
        ("51", 16),
        ("2221", 16),
        ("6011", 16),
        ("3530", 16),
        ("34", 15),
        ("37", 15),
    )
    for prefix, length in kinds:
        number = _luhn(prefix, length, rng)
        for separator in ("", " ", "-", "."):
            shown = _grouped(number, separator)
            found.append(Canary("card", f"paid with {shown} today", shown))
        found.append(Canary("card", f"order 17: {number}", number))
    return found


def _grouped(number: str, separator: str) -> str:
    cuts = (0, 4, 10, 15) if len(number) == 15 else (0, 4, 8, 12, 16)
    return separator.join(number[a:b] for a, b in pairwise(cuts))


def _sql(rng: random.Random) -> list[Canary]:
    shapes = (
        "INSERT INTO users (name, password) VALUES ('bob', '{}')",
        "UPDATE users SET password = '{}' WHERE id = 7",
        "SELECT id FROM users WHERE api_key='{}' LIMIT 1",
        "ALTER ROLE bob WITH PASSWORD '{}'",
        "CREATE USER 'bob'@'%' IDENTIFIED BY '{}'",
        "[SQL: INSERT INTO users (name, password) VALUES (?, ?)]\n[parameters: ('bob', '{}')]",
        "[SQL: UPDATE u SET token=%(token)s]\n[parameters: {{'token': '{}', 'id': 3}}]",
        "DETAIL:  Failing row contains (7, bob, {}).",
    )
    words = [_word(rng) for _ in shapes]
    return [Canary("sql", s.format(w), w) for s, w in zip(shapes, words, strict=True)]


def _headers(rng: random.Random) -> list[Canary]:
    basic = base64.b64encode(f"bob:{_word(rng)}".encode()).decode()
    token, word = _take(rng, ALNUM, 24), _word(rng)
    shapes = (
        ("Authorization: Bearer {}", token),
        ("authorization: Basic {}", basic),
        ("{{'Authorization': 'Bearer {}', 'Accept': '*/*'}}", token),
        ("sent Bearer {} upstream", token),
        ("sent bearer {}", token),
        ("Basic {} refused", basic),
        ("Cookie: theme=dark; session={}", word),
        ("Set-Cookie: sid={}; Path=/; HttpOnly", word),
        ("X-Auth-Token: {}", word),
        ('curl -H "X-Api-Key: {}" http://h/', word),
        ('Authorization: Digest username="bob", response="{}"', word),
        ("headers=[(b'authorization', b'Bearer {}')]", token),
        ("Authorization=Token {}", token),
    )
    return [Canary("header", shape.format(value), value) for shape, value in shapes]


def _mixed(rng: random.Random) -> str:
    """A password of several kinds of characters."""
    return "Q" + _take(rng, string.ascii_lowercase, 6) + _take(rng, string.digits, 4) + "!x"


def _filled(kind: str, shapes: tuple[str, ...], rng: random.Random) -> list[Canary]:
    words = [_mixed(rng) for _ in shapes]
    return [Canary(kind, s.replace("CANARY", w), w) for s, w in zip(shapes, words, strict=True)]


def _programs(rng: random.Random) -> list[Canary]:
    shapes = (
        "tool --password=CANARY --verbose",
        'tool --api-key="CANARY"',
        "Command '['tool', '--token', 'CANARY']' returned non-zero exit status 1.",
        '["tool", "--client-secret", "CANARY"]',
        "curl -u admin:CANARY http://h/",
        "Command '['curl', '--user', 'admin:CANARY', 'http://h/']' timed out",
        "mysql -h db -u root -pCANARY shop",
        "Command '['mysqldump', '-u', 'root', '-pCANARY', 'shop']' failed",
        "sshpass -p CANARY ssh bob@h",
        "docker login -u bob -p CANARY registry:5000",
        "['docker', 'login', '-u', 'bob', '-p', 'CANARY']",
        "redis-cli -h cache -p 6379 -a CANARY ping",
    )
    return _filled("program", shapes, rng)


def _pairs(rng: random.Random) -> list[Canary]:
    shapes = (
        '{"name": "DB_PASSWORD", "value": "CANARY"}',
        "[{'Name': 'password', 'Value': 'CANARY'}]",
        '<add key="ApiKey" value="CANARY"/>',
        "env:\n  - name: API_TOKEN\n    value: CANARY\n",
        'Content-Disposition: form-data; name="password"\r\n\r\nCANARY\r\n--b',
        "GET /callback?code=CANARY&state=af0ifjsldkj",
        "SecretToken('CANARY')",
    )
    return _filled("pair", shapes, rng)


def _said(rng: random.Random) -> list[Canary]:
    shapes = (
        "the password is CANARY",
        'her password was "CANARY"',
        "login failed for bob with password CANARY",
        "API key CANARY is revoked",
    )
    return _filled("said", shapes, rng)
