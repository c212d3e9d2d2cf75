"""The errors a caller may see: only at set-up, only for arguments written in code."""

from __future__ import annotations


class ConfigError(ValueError):
    """An argument given in code that cannot work: the message names it, what came and what fits.

    Environment variables never raise it; a bad one is a warning and the default holds.
    """

    @classmethod
    def of(cls, setting: str, value: object, expected: str) -> ConfigError:
        """Build the message `setting=value: expected …`."""
        return cls(f"{setting}={value!r}: expected {expected}")
