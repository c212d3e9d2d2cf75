"""One setting: how `core.config` declares it, and what is said of a value that does not fit."""

from __future__ import annotations

from typing import Any

from proletto_otel.core import parsing as p
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.parsing import InvalidValue, Parser

MAX_SHOWN = 60
"""Characters of a bad value that a message repeats."""


def setting(env: str, default: Any, parser: Parser, meaning: str) -> Any:
    """Declare a field of `Config`: environment names in order, default, parser, meaning."""
    return Setting(tuple(env.split()), default, parser, meaning)


class Setting:
    """One row of the table, for docs and `doctor`; the class that it stands in names it."""

    __slots__ = ("default", "env", "meaning", "name", "parser")
    name: str

    def __init__(self, env: tuple[str, ...], default: Any, parser: Parser, meaning: str) -> None:
        self.env, self.default, self.parser, self.meaning = env, default, parser, meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be shown."""
        return self.parser in (p.secret, p.secret_url, p.headers)

    def of_argument(self, value: Any) -> Any:
        """Read an argument of `setup_telemetry`.

        Raises:
            ConfigError: it does not fit.
        """
        try:
            return self.parser(value)
        except InvalidValue:
            shown = "***" if self.is_secret else repr(value)[:MAX_SHOWN]
            message = f"{self.name}={shown}: expected {self.parser.expected}"
            raise ConfigError(message) from None

    def misfit(self, variable: str, value: Any) -> str:
        """The sentence about a value of the environment or `app.config` that does not fit."""
        shown = "'***'" if self.is_secret else ascii(value)[:MAX_SHOWN]
        return f"{variable}={shown}: expected {self.parser.expected}; using {self.default!r}"
