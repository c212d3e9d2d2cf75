"""Where secrets stand in a text: after a name, in SQL, behind the option of a program.

Each pattern runs in time linear in the text. What a secret looks like by itself lives in
`core.redaction.token_shapes`; the two are put together in `core.redaction.redactor`.
"""

from __future__ import annotations

import re

NAME = re.compile(
    r"""(?:(?<![\w.-])|(?<=%20))-{0,2}([A-Za-z_][\w.-]{0,80})
    (?:\\*["'\])]{0,2}\s{0,3}(?:=>|:=|==?|:|%3[aAdD])(?:\s|%20|\+){0,3}
    | ["'],(?:\s|%20|\+){0,3}(?=b?["']) | \((?=["']))""",
    re.VERBOSE,
)
"""What stands before a value: `name=`, `"name": `, `('name', `, `(name)=`, `name%3D`, `name('`."""
VALUE = re.compile(
    r"""\\+"(?:[^"\\]|\\(?!["\\]))*\\*"? | [bru]{0,2}"(?:[^"\\]|\\.)*"?
    | [bru]{0,2}'(?:[^'\\]|\\.)*'? | \([^()\n]*\) | \[[^\[\]\n]*\] | \{[^{}\n]*\}
    | (?:[^\s&"'<>;,]|[,;](?!\s|[\w.-]+[=:]|$))+""",
    re.VERBOSE | re.DOTALL,
)
HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\\*[\"']?\s{0,3}[:=](?:\s|%20|\+){0,3}\\*[\"']?)"
    r"(?!\[redacted)((?:digest|aws4)[^'\n]+|(?<=cookie: )[^\"'\n]+"
    r"|[\w-]+ +[^\s\"',\\]+|[^\s\"',\\]+)"
)
XML = re.compile(r"(<([\w.:-]{1,80})(?: [^<>]{0,200})?>)([^<]{1,4000})(?=</)")
OPTION = re.compile(r"(?<![\w-])(--?([A-Za-z][\w.-]{1,40})\s{1,3})([^\s-]\S*)")

_BLANK = r"(?:\s|%(?:20|0[aAdD])|\+|\\[nrt])"
"""White space, in a URL or a Python literal too."""
_IS = rf"{_BLANK}{{0,3}}(?:[:=]|%3[aAdD]){_BLANK}{{0,3}}"

PROSE = re.compile(
    r"((?:\b|(?<=%20))(?i:password|passphrase|passwd|api(?:[ _-]|%20)?key)"
    rf"{_BLANK}{{1,3}}(?:(?:is|was){_BLANK}{{1,3}})?\\*[\"'`]?)"
    r"([^\s\"'`,;:/=()\[\]{}\\]{8,128})"
)
"""What people write of a secret, `the password is …`; `looks_chosen` decides."""

OAUTH_CODE = re.compile(r"((?<![\w.-])code=)([^&\s\"'<>;]{8,4096})")
"""The code of an OAuth callback, which stands beside its `state`."""

PAIR = re.compile(
    rf"""((?:(?<![\w-])|(?<=%20))(?:[Nn]ame|[Kk]ey)\\*["']?{_IS}\\*["']?)([\w.-]{{1,80}})(
    \\*["']?(?:{_BLANK}|[,;|]){{1,40}}\\*["']?[Vv]alue\\*["']?{_IS}\\*["']?
    | \\*"(?:{_BLANK}|\|){{2,40}})(?!\[redacted)
    (?:(?<=["'])[^"'\\\n]{{1,4000}}|[^\s"',;}}<>\\]{{1,4000}})""",
    re.VERBOSE,
)
"""A name and a value told apart: `{"name": "password", "value": …}`, XML, YAML, forms."""

CURL_USER = re.compile(
    r"((?<![\w-])(?:-u|-U|--user|--proxy-user)[\s=\"',]{1,5}[^\s:\"',]{1,128}:)([^\s\"',]{1,512})"
)
PROGRAMS = ("mysql", "mariadb", "sshpass", "docker", "podman", "redis-cli")
PROGRAM_SECRET = re.compile(
    r"""((?:(?:mysql|mariadb)[\w-]{0,20}["',]{0,2}\s[^\n|;&]{0,300}?(?<=[\s"'])-p
    | (?:sshpass|(?:docker|podman)["',]{0,2}\s{1,3}["']?login)\b
      [^\n|;&]{0,300}?(?<=[\s"'])-p[\s"',]{0,5}
    | redis-cli\b[^\n|;&]{0,300}?(?<=[\s"'])-a[\s"',]{1,5})
    )([^\s"',]{1,512})""",
    re.VERBOSE,
)
"""Passwords behind the short options of well-known programs, as text or as a list of words."""

ROW_VALUES = re.compile(r"(Failing row contains )\([^\n]*\)")
"""PostgreSQL's DETAIL line repeats the whole row."""

SQL_SECRET_TEXT = re.compile(r"(?i)\b((?:password|identified\s+by)\s+)(?:E?'(?:[^'\\]|''|\\.)*')")
SQL_INSERT = re.compile(
    r"(?is)(\binsert\s+into\s+[\w.\"`\[\]]{1,200}\s*\(([^()]{1,4000})\)\s*values\s*)(\(.*)"
)
SQL_STATEMENT = re.compile(
    r"(?is)\b(?:select\b.{0,400}?\bfrom|insert\s+into|update\b.{0,400}?\bset|delete\s+from"
    r"|replace\s+into|merge\s+into)\b"
)
SQL_TEXT = re.compile(r"'(?:[^'\\]|''|\\.)*'")
SQL_NUMBER = re.compile(r"(?<![\w.$:%])\d+(?:\.\d+)?\b")
SQL_PARAMETERS = re.compile(r"(?s)(\[parameters: )([(\[{].*?[)\]}])(\])")
"""SQLAlchemy's error text repeats the bound values: `[parameters: ('bob', 'hunter2')]`."""
