"""One setting: how `core.config` declares it, and what is said of a value that does not fit."""

from __future__ import annotations

from dataclasses import MISSING, Field, field
from typing import Any

from proletto_otel.core import parsing as p
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.parsing import InvalidValue, Parser
from proletto_otel.core.record import record

MAX_SHOWN = 60
"""Characters of a bad value that a message repeats."""


def setting(env: str, default: Any, parser: Parser, meaning: str) -> Any:
    """Declare a field of `Config`: environment names in order, default, parser, meaning."""
    metadata = {"env": tuple(env.split()), "parser": parser, "meaning": meaning}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@record(frozen=True, slots=True, eq=False)
class Setting:
    """One row of the table, for docs and `doctor`."""

    name: str
    env: tuple[str, ...]
    default: Any
    parser: Parser
    meaning: str

    @classmethod
    def of(cls, row: Field[Any]) -> Setting:
        """Read a row from its dataclass field."""
        default = row.default if row.default_factory is MISSING else row.default_factory()
        return cls(
            row.name, row.metadata["env"], default, row.metadata["parser"], row.metadata["meaning"]
        )

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
