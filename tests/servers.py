"""Real servers for tests: databases and Redis on free ports of 127.0.0.1, ended with the test.

    with PostgreSQL(tmp_path) as server:
        engine = sqlalchemy.create_engine(server.url)

Tests that need a server which is not installed are skipped by `needs_postgresql` and so on.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.waiting import until

_random = random.Random()  # of its own: a test that seeds the shared one changes no port


FIXED_PORTS = range(10_000, 32_000)
"""Below those that Linux gives to connections: one of them would now and then have the port of a
server that is stopped and started again."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, for a server that is told its port."""
    while True:
        port = _random.choice(FIXED_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _binary(name: str) -> str | None:
    found = shutil.which(name)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(versions[-1]) if versions else None)


needs_postgresql = pytest.mark.skipif(_binary("initdb") is None, reason="needs PostgreSQL")
needs_mariadb = pytest.mark.skipif(_binary("mariadbd") is None, reason="needs MariaDB")
needs_redis = pytest.mark.skipif(_binary("redis-server") is None, reason="needs Redis")


class Server:
    """A server as a child process; stop it, hang it, start it again."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What is run."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it serves."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
            return True
        return False

    def prepare(self) -> None:
        """What must be there before the first start."""

    def start(self) -> None:
        """Start and wait until it serves."""
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(), stdout=output, stderr=output, cwd=self.directory, **self.identity()
            )
        until(self.answers, f"{self.command()[0]} serves")

    user = ""
    """Who runs it when the tests run as root, which a database server refuses."""

    def identity(self) -> dict[str, Any]:
        """Under whose name it runs, and where it may write."""
        environment = {"env": {**os.environ, "TMPDIR": str(self.directory)}}
        if not self.user or os.geteuid() != 0:
            return environment
        user = pwd.getpwnam(self.user)
        return {**environment, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def hand_over(self) -> None:
        """Give the directory to `user`: one elsewhere if that is not who runs the tests.

        pytest's directories are closed to others, and each pytest that starts closes them again.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            return
        user = pwd.getpwnam(self.user)
        self.directory = Path(tempfile.mkdtemp(prefix="database-"))
        weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        os.chown(self.directory, user.pw_uid, user.pw_gid)

    def run(self, command: list[str], *, check: bool = True) -> int:
        """Run one of the server's programs to its end; its exit status."""
        program = str(_binary(command[0]))
        done = subprocess.run(
            [program, *command[1:]], cwd=self.directory, capture_output=True, **self.identity()
        )
        if check and done.returncode:
            raise AssertionError(done.stderr.decode())
        return done.returncode

    def hang(self) -> None:
        """It keeps its connections and answers nobody."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It answers again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in self._all():
            with contextlib.suppress(ProcessLookupError):  # one that ended meanwhile
                os.kill(pid, number)

    def _all(self) -> list[int]:
        import psutil

        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root.pid, *(child.pid for child in root.children(recursive=True))]

    def stop(self) -> None:
        """End it at once."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.resume()
            self.process.send_signal(self.ending)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None

    ending = signal.SIGTERM

    def __enter__(self) -> Any:
        self.prepare()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()


class PostgreSQL(Server):
    """PostgreSQL with a database `shop`."""

    user = "postgres"
    ending = signal.SIGINT  # fast shutdown: sessions are ended

    @property
    def url(self) -> str:
        """For SQLAlchemy with psycopg."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/shop"

    @property
    def data(self) -> Path:
        """The cluster's directory."""
        return self.directory / "data"

    def prepare(self) -> None:
        """Make the cluster."""
        self.hand_over()
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "--locale=C"]
        self.run(["initdb", "-D", str(self.data), *options])

    def command(self) -> list[str]:
        """Without fsync: nothing here must survive the machine."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "60",
        }
        flags = [part for k, v in settings.items() for part in ("-c", f"{k}={v}")]
        return [str(_binary("postgres")), "-D", str(self.data), *flags]

    def start(self) -> None:
        """Start, and make the database the first time."""
        super().start()
        until(self._ready, "PostgreSQL takes connections")

    def _ready(self) -> bool:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        if self.run(["psql", *where, "-c", "SELECT 1", "shop"], check=False) == 0:
            return True
        return self.run(["createdb", *where, "shop"], check=False) == 0


class MariaDB(Server):
    """MariaDB with a database `shop`."""

    user = "mysql"

    @property
    def url(self) -> str:
        """For SQLAlchemy with PyMySQL."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/shop"

    @property
    def data(self) -> Path:
        """Where its databases lie."""
        return self.directory / "data"

    def prepare(self) -> None:
        """Make the system tables, and the database."""
        self.hand_over()
        method = "--auth-root-authentication-method=normal"
        where = [f"--datadir={self.data}", "--skip-test-db", method]
        self.run(["mariadb-install-db", "--no-defaults", *where])
        self.run(["mkdir", str(self.data / "shop")])

    def command(self) -> list[str]:
        """Without fsync: nothing here must survive the machine."""
        settings = {
            "datadir": str(self.data),
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "socket": str(self.directory / "socket"),
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-buffer-pool-size": "16M",
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        return [str(_binary("mariadbd")), "--no-defaults", *flags]


class Redis(Server):
    """Redis without persistence."""

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Nothing is written to disk."""
        where = ["--port", str(self.port), "--bind", "127.0.0.1"]
        return [str(_binary("redis-server")), *where, "--save", "", "--appendonly", "no"]
