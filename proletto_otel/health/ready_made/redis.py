"""Ready-made check: does Redis answer a PING, on a connection of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proletto_otel.core.errors import ConfigError


def redis(target: Any, *, timeout: float = 2.0) -> Callable[[], None]:
    """Check that Redis answers PING within *timeout* seconds.

    Args:
        target: `redis://…`, `rediss://…`, `unix://…`, or a `redis.Redis` client; its settings
            are used for a connection of our own.
        timeout: seconds for connecting, and for the answer.

    Raises:
        ConfigError: for another target, or when the package redis is not installed.
    """
    try:
        import redis as driver
    except ImportError:
        raise ConfigError("redis check: the package redis is not installed; expected it") from None
    make = _maker(driver, target, {"socket_connect_timeout": timeout, "socket_timeout": timeout})
    make()  # a bad URL is said at set-up; nothing connects yet

    def check() -> None:
        client = make()
        try:
            client.ping()
        finally:
            client.close()
            client.connection_pool.disconnect()

    return check


def _maker(driver: Any, target: Any, limits: dict[str, float]) -> Callable[[], Any]:
    if isinstance(target, str):

        def from_url() -> Any:
            try:
                return driver.Redis.from_url(target, **limits)
            except ValueError:
                raise ConfigError.of("target", "***", "redis://, rediss:// or unix://") from None

        return from_url
    pool = getattr(target, "connection_pool", None)
    if pool is None:
        raise ConfigError.of("target", type(target).__name__, "a URL or a redis.Redis client")

    def from_client() -> Any:
        # a pool of our own: a check must not wait for a connection of the application's pool
        settings = {**pool.connection_kwargs, **limits}
        own = driver.ConnectionPool(connection_class=pool.connection_class, **settings)
        return driver.Redis(connection_pool=own)

    return from_client
