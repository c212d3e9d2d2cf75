"""The `.env` of docker-compose, as text: reading its variables, giving it a password."""

from __future__ import annotations

import re

PASSWORD = "GRAFANA_ADMIN_PASSWORD"
_LINE = re.compile(r"^(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)$")


def parse(text: str) -> dict[str, str]:
    """The variables that *text* sets, quotes taken off, as docker-compose reads them."""
    found = {}
    for line in text.splitlines():
        if match := _LINE.match(line.strip()):
            value = match[2].strip()
            if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1:
                value = value[1:-1]
            else:
                # Only after a space: a `#` may be part of a value.
                value = re.sub(r"\s+#.*$", "", value)
            found[match[1]] = value
    return found


def with_password(text: str, password: str) -> str:
    """*text* with *password* where it has none; a password that is set stays."""
    if parse(text).get(PASSWORD):
        return text
    line = f"{PASSWORD}={password}"
    replaced, count = re.subn(rf"(?m)^{PASSWORD}=.*$", line, text, count=1)
    return replaced if count else f"{text.rstrip()}\n{line}\n".lstrip()
