"""Redaction: secrets go, ordinary text stays, nothing is echoed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.redaction.providers import providers
from proletto_otel.core.redaction.redactor import MAX_KNOWN_KEYS, REDACTED, Redactor
from proletto_otel.core.redaction.sanitise import Sanitiser
from proletto_otel.core.redaction.scan import MAX_STEPS, Scan
from tests.corpus import log_lines, near_misses, ordinary, secrets, wide

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


@pytest.mark.parametrize("word", ["Summer2024", "Hunter#Moon", "moon#2024"])
def test_password_in_a_sentence_has_three_kinds_of_characters(word: str) -> None:
    """Where nothing says that the word is the password, its characters tell."""
    assert "wrong password [redacted] for bob" == Redactor().text(f"wrong password {word} for bob")
    for ordinary_word in (word.lower().replace("#", ""), "mechanism"):
        text = f"wrong password {ordinary_word} for bob"
        assert text == Redactor().text(text)


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


def test_corpora_of_secrets_are_wide() -> None:
    """At least 400 canaries beside the first ones; every provider, none twice alike."""
    assert len(wide.canaries()) >= 400
    assert {provider.name for provider in providers()} <= {c.kind for c in wide.canaries()}
    assert [c for c in wide.canaries() if c.secret not in c.text] == []


def test_no_canary_of_the_wide_corpus_survives() -> None:
    """Tokens of 160 kinds, names in twenty languages, error texts, command lines, links, hashes."""
    clean = Sanitiser()

    assert [] == [c for c in wide.canaries() if c.secret in clean.block(c.text)]


@pytest.mark.parametrize("form", ["{}", "{}\n", " {}", "[{}]", "({})", "'{}'", "é {}"])
def test_no_canary_survives_in_other_surroundings(form: str) -> None:
    """What stands around a secret does not hide it."""
    clean = Sanitiser()
    found = [form.format(c.text) for c in wide.canaries()]
    leaks = [
        (c.text, form)
        for c, text in zip(wide.canaries(), found, strict=True)
        if c.secret in clean.block(text)
    ]

    assert [] == leaks


def test_wide_names_hide_any_value() -> None:
    """A value under any of the names is replaced in a field, in a list and in a pair."""
    clean = Sanitiser()
    for key, value in wide.keyed():
        shown = str(clean.fields({key: value, "nested": {key: [value]}, "pair": (key, value)}))

        assert value not in shown, key


@pytest.mark.parametrize("name", wide.WEAK_NAMES)
def test_weak_names_hide_what_was_generated(name: str) -> None:
    """Under `session` or `pin` a generated value is a secret, a word is none."""
    clean = Sanitiser()
    secret = "48151623" if name == "pin" else "k3J9fQ02mZx81LpQ"

    assert {name: REDACTED} == clean.fields({name: secret})
    assert {name: "started"} == clean.fields({name: "started"})


@pytest.mark.parametrize("kind", log_lines.KINDS, ids=lambda kind: kind.__name__)
def test_ordinary_lines_of_ten_kinds_stay(kind: Any) -> None:
    """Of 2,200 lines of each kind none is changed."""
    clean = Sanitiser()

    assert [] == [(x, clean.block(x)) for x in log_lines.lines(kind) if clean.block(x) != x][:5]


def test_figures_in_the_docs_are_the_measured_ones() -> None:
    """Secrets missed and ordinary lines changed stand together in docs/redaction.md."""
    clean = Sanitiser()
    found = [*CANARIES, *wide.canaries()]
    missed = sum(c.secret in clean.block(c.text) for c in found)
    lines = [line for kind in log_lines.KINDS for line in log_lines.lines(kind)]
    changed = sum(clean.block(line) != line for line in lines)
    page = (Path(__file__).parents[3] / "docs" / "redaction.md").read_text()

    assert f"| Secrets missed | {missed} of {len(found)} |" in page
    assert f"| Ordinary lines changed | {changed} of {len(lines):,} |" in page
    assert f"{len(providers())} kinds of tokens" in page


def test_json_names_never_vanish() -> None:
    """Two words beside each other in JSON are no name and value."""
    text = '{"component":"auth","action":"started","token":"x1"}'

    assert text.replace("x1", REDACTED) == Redactor().text(text)


def test_own_tokens() -> None:
    """A prefix of the user's, with the least length of what follows."""
    redactor = Redactor(tokens=["acme_live_:8", "shop-"])

    assert "got [redacted] and acme_live_a1" == redactor.text(
        "got acme_live_a1b2c3d4 and acme_live_a1"
    )
    assert "got [redacted]" == redactor.text("got shop-a1b2c3d4e5f6g7h8")


def test_identifiers_on_request() -> None:
    """National and financial identifiers are secret only where the user says so."""
    text = "account GB82 WEST 1234 5698 7654 32 of tax_id=12345678901"

    assert text == Redactor().text(text)
    assert "account [redacted] of tax_id=[redacted]" == Redactor(identifiers=True).text(text)
    assert not Redactor().key("passport_number")
    assert Redactor(identifiers=True).key("passport_number")


def test_callback_that_gives_no_text_hides_the_text() -> None:
    """A callback without an answer, or with one that is no text, shows nothing."""
    for answer in (None, b"hello", 3):
        assert REDACTED == Redactor(callback=lambda text, a=answer: a).text("hello")  # type: ignore[misc]


def test_remembered_names_are_bounded() -> None:
    """Ever new names in hostile texts do not fill the memory."""
    redactor = Redactor()
    sizes = []
    for start in range(0, 2 * MAX_KNOWN_KEYS, 100):
        redactor.text(" ".join(f"name{n}=1" for n in range(start, start + 100)))
        redactor.key(f"field{start}")
        sizes.append(len(redactor._levels))

    assert MAX_KNOWN_KEYS // 2 < max(sizes) <= MAX_KNOWN_KEYS


def test_long_names_are_not_remembered() -> None:
    """Names of a kilobyte would fill the memory with a few thousand."""
    redactor = Redactor()
    redactor.key("x" * 1000)

    assert {} == redactor._levels


def test_encoded_texts_stay_as_they_are_written() -> None:
    """Only the secret is cut out of an encoded text; it is not written anew."""
    text = "GET /x?next=%2Fa%3fb%3D%C3%A9%26token%3Dabc%26p=1+2"

    assert text.replace("abc", REDACTED) == Redactor().text(text)


@pytest.mark.parametrize("unit", near_misses.units())
def test_hostile_text_stays_within_the_budget(unit: str) -> None:
    """No text that almost matches makes redaction grow it, or leaves its budget."""
    redactor = Redactor(emails=True, sql_literals=True, identifiers=True)
    for _, text in near_misses.texts(unit, 4_000):
        assert len(redactor.text(text)) <= len(text) * len(REDACTED)


@pytest.mark.parametrize("way", range(8))
def test_steps_grow_as_the_text_does(way: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the text takes no more than five times the steps, also without a budget.

    Steps are counted, not timed; what they take is a figure of `bench/redaction.py`.
    """
    monkeypatch.setattr(Scan.__init__, "__defaults__", (10**9, False))
    taken = _counted(monkeypatch)
    grown = []
    for unit in near_misses.UNITS:
        steps = []
        for size in (2_000, 8_000):
            name, text = list(near_misses.texts(unit, size))[way]
            taken.clear()
            Redactor().text(text)
            steps.append(sum(taken))
        if steps[1] > 5 * steps[0] + 50:
            grown.append((unit, name, steps))

    assert [] == grown


def test_no_text_takes_more_steps_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its length; what would go beyond is not done, and the text is cut there."""
    taken = _counted(monkeypatch)
    for unit in near_misses.UNITS:
        for _, text in near_misses.texts(unit, 34_000):
            taken.clear()
            Redactor().text(text)
            assert sum(taken) <= MAX_STEPS


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The list that gets the steps that are granted from now on."""
    taken: list[int] = []
    spend = Scan.spend

    def counted(scan: Scan, steps: int, position: int) -> bool:
        granted = spend(scan, steps, position)
        if granted:
            taken.append(steps)
        return granted

    monkeypatch.setattr(Scan, "spend", counted)
    return taken


def test_beyond_its_budget_a_text_is_cut() -> None:
    """What was not scanned is not shown: secrets after ten thousand names are gone."""
    shown = Redactor().text("a=1 " * 10_000 + "password=hunter2")

    assert shown.endswith("a=1 ...[not scanned further]")
    assert "hunter2" not in shown


def test_beyond_its_budget_an_encoded_text_is_cut() -> None:
    """Behind so many escapes that they are not decoded nothing is shown."""
    shown = Redactor().text("%41b" * 8000 + "%70assword%3Dhunter2")

    assert "hunter2" not in shown
    assert "not scanned" in shown


def test_a_long_json_text_is_within_the_budget() -> None:
    """A body of 32 KB is scanned to its end."""
    body = json.dumps([{"order_id": n, "name": "shoe", "price": 399} for n in range(700)])[:32_000]

    assert body + " token=[redacted]" == Redactor().text(body + " token=x1")
