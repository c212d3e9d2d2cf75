"""Redaction: secrets go, ordinary text stays, nothing is echoed."""

from __future__ import annotations

import pytest

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.redaction.redactor import REDACTED, Redactor
from proletto_otel.core.redaction.sanitise import Sanitiser
from tests.corpus import ordinary, secrets

CANARIES = secrets.canaries()


def test_corpora_are_large_enough() -> None:
    """At least 200 canaries and 200 ordinary lines."""
    assert len(CANARIES) >= 200
    assert len(set(ordinary.lines())) >= 200
    assert [c for c in CANARIES if c.secret not in c.text] == []


def test_no_canary_survives_in_text() -> None:
    """Whatever shape a secret has in a text, it is replaced."""
    redactor = Redactor()

    assert [] == [c for c in CANARIES if c.secret in redactor.text(c.text)]


def test_no_canary_survives_when_embedded() -> None:
    """A secret in the middle of a long text is replaced too."""
    clean = Sanitiser()
    before, after = "cart loaded for user 17\n" * 40, "\nand the order was stored" * 40

    assert [] == [c for c in CANARIES if c.secret in clean.block(before + c.text + after)]


def test_no_canary_survives_in_nested_values() -> None:
    """Lists, dictionaries, tuples, bytes and exceptions are searched."""
    clean = Sanitiser()
    for canary in CANARIES:
        text = canary.text
        nested = {"a": [{"b": (text, {text})}], "c": text.encode(), "d": ValueError(text)}

        assert canary.secret not in str(clean.fields({"facts": nested})), canary


def test_a_mapping_may_tell_of_a_name_and_its_value() -> None:
    """As environment variables, cookies and form fields are listed."""
    clean = Sanitiser()
    listed = [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "LANG", "value": "C"}]

    assert {
        "env": [{"name": "DB_PASSWORD", "value": REDACTED}, {"name": "LANG", "value": "C"}]
    } == clean.fields({"env": listed})


def test_secret_names_hide_any_value() -> None:
    """A value under a secret name is replaced whatever it is."""
    clean = Sanitiser()
    for key, value in secrets.keyed():
        fields = {key: value, "nested": {key: [value]}, "pair": (key, value), "n": {key: 12345678}}
        shown = str(clean.fields(fields))

        assert value not in shown, key
        assert "12345678" not in shown, key


def test_ordinary_text_stays() -> None:
    """Order numbers, UUIDs, commit IDs and talk about passwords are left alone."""
    clean = Sanitiser()

    assert [] == [(x, clean.block(x)) for x in ordinary.lines() if clean.block(x) != x]


@pytest.mark.parametrize(("text", "shown"), ordinary.EXCEPTIONS)
def test_listed_exceptions(text: str, shown: str) -> None:
    """What looks like `name: secret` is replaced; the list of such cases is kept."""
    assert shown == Redactor().text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2", "password=[redacted]"),
        ('{"password": "hunter2", "n": 1}', '{"password": "[redacted]", "n": 1}'),
        ("postgres://bob:pw1@db/shop", "postgres://bob:[redacted]@db/shop"),
        ("/a?page=2&token=abc&x=1", "/a?page=2&token=[redacted]&x=1"),
        ("(password=abc)", "(password=[redacted])"),
        ("Authorization: Bearer a1b2c3d4 from 10.0.0.1", "Authorization: [redacted] from 10.0.0.1"),
    ],
)
def test_neighbours_stay(text: str, shown: str) -> None:
    """Only the secret itself is replaced."""
    assert shown == Redactor().text(text)


def test_redaction_is_idempotent() -> None:
    """A text that was redacted stays as it is."""
    redactor = Redactor()
    once = [redactor.text(c.text) for c in CANARIES]

    assert once == [redactor.text(text) for text in once]


@pytest.mark.parametrize("name", ["token_count", "max_tokens", "password_policy", "author", "key"])
def test_harmless_names(name: str) -> None:
    """A name that only talks about a secret is no secret."""
    assert not Redactor().key(name)


def test_count_under_a_plural_stays() -> None:
    """A number of tokens is no token."""
    assert {"tokens": 3, "token": REDACTED} == Sanitiser().fields({"tokens": 3, "token": 3})


def test_absence_is_shown() -> None:
    """Whether a secret was given at all may be seen."""
    fields = {"password": None, "token": "", "secret": True}

    assert fields == Sanitiser().fields(fields)


def test_allowed_names_win() -> None:
    """A name on the allow list is shown, however it is written."""
    redactor = Redactor(allow=["session_id"])

    assert not redactor.key("sessionId")
    assert "session_id=abc" == redactor.text("session_id=abc")


def test_own_names() -> None:
    """Names of the user's are secret in fields and in texts."""
    redactor = Redactor(keys=["shoe-size"])

    assert redactor.key("shoeSize")
    assert "shoe_size=[redacted]" == redactor.text("shoe_size=44")


def test_own_patterns() -> None:
    """Patterns of the user's are looked for in every text."""
    assert "badge [redacted]" == Redactor(patterns=[r"B-\d+"]).text("badge B-17")


def test_bad_pattern_names_the_setting() -> None:
    """A pattern that does not compile is refused with its name."""
    with pytest.raises(ConfigError, match=r"redact_patterns='\('"):
        Redactor(patterns=["("])


def test_callback_has_the_last_word() -> None:
    """The callback gets every text and its answer is used."""
    assert "HELLO" == Redactor(callback=str.upper).text("hello")


def test_failing_callback_hides_the_text() -> None:
    """When the callback raises, nothing of the text is shown."""

    def broken(text: str) -> str:
        raise RuntimeError(text)

    assert REDACTED == Redactor(callback=broken).text("hello")


def test_emails_on_request() -> None:
    """Email addresses are personal data for some, needed by others."""
    text = "mail to bob.smith+x@shop.example.com sent"

    assert text == Redactor().text(text)
    assert "mail to [redacted] sent" == Redactor(emails=True).text(text)


def test_sql_literals_on_request() -> None:
    """Statements keep their shape and lose their values."""
    text = "SELECT a1 FROM t WHERE name = 'bob' AND n = 12"

    assert text == Redactor().text(text)
    shown = Redactor(sql_literals=True).text(text)
    assert "SELECT a1 FROM t WHERE name = ? AND n = ?" == shown


def test_code_keeps_names_of_variables() -> None:
    """In a line of source code only literals are secrets."""
    redactor = Redactor()

    assert "token = request.args['t']" == redactor.code("token = request.args['t']")
    assert 'connect(password="[redacted]", n=1)' == redactor.code('connect(password="pw", n=1)')


REPEATED = (
    "a=", "password=(", "'a', ", "eyJ", "://a:", "<a>", "[parameters: (", "1 ", "a@", '\\"', "--a ",
    "select ", "insert into a (b) values (", "password='", "Cookie: ", "4111-", "a" * 50 + " ",
    "-----BEGIN PRIVATE KEY-----", "mysql ", "docker login ", "redis-cli -", "curl -u a", "name=a ",
    "key: \"a\" ", "password is ", "code=state=", "--", "password('", "sshpass -p",
)  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", REPEATED)
def test_hostile_text_ends(unit: str) -> None:
    """No text makes redaction run away; a quadratic pattern would meet the time limit."""
    redactor = Redactor(emails=True, sql_literals=True)
    text = (unit * 65_536)[:65_536]

    assert len(redactor.text(text)) <= len(text) * len(REDACTED)
