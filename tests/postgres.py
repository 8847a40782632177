"""A real PostgreSQL server for the tests: made in a temporary directory, thrown away at the end of trial's run."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from itertools import count
from pathlib import Path

import psycopg2

from tests.peers import need

# Tests do not outlive a power cut.
SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "max_connections=40",
    "listen_addresses=127.0.0.1",
)


class PostgresServer:
    """A server of our own; `start` and `stop` any number of times, `remove` at the end."""

    def __init__(self) -> None:
        self._initdb, self._pg_ctl = need("initdb"), need("pg_ctl")
        need("postgres")
        self._account = _account()
        self._directory = Path(tempfile.mkdtemp(prefix="gosip-postgres-"))
        if self._account:
            os.chown(self._directory, self._account.pw_uid, self._account.pw_gid)
        self._schemas = count(1)
        self.port = _free_port()
        options = ("-U", "gosip", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self._run(self._initdb, "-D", self._cluster, *options)

    @property
    def _cluster(self) -> str:
        return str(self._directory / "cluster")

    @property
    def dsn(self) -> str:
        """Where the server is, as a libpq connection string."""
        return f"host=127.0.0.1 port={self.port} user=gosip dbname=postgres"

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        options = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"unix_socket_directories={self._directory}"))
        log = str(self._directory / "log")
        self._run(self._pg_ctl, "start", "-w", "-D", self._cluster, "-l", log, "-o", f"{options} -p {self.port}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; "immediate" is as if it had been killed."""
        self._run(self._pg_ctl, "stop", "-w", "-D", self._cluster, "-m", mode)

    @property
    def pid(self) -> int:
        """The process id of the running postmaster."""
        return int((Path(self._cluster) / "postmaster.pid").read_text().splitlines()[0])

    def make_standby(self) -> None:
        """Let the stopped server come back as a standby, which takes no writes."""
        (Path(self._cluster) / "standby.signal").touch()

    def remove(self) -> None:
        """Stop the server if it runs, and delete its files."""
        if (Path(self._cluster) / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._directory)

    def fresh_schema(self) -> str:
        """A connection string to a schema with nothing in it."""
        name = f"test_{next(self._schemas)}"
        self.run_sql(f"CREATE SCHEMA {name}")
        return f"{self.dsn} options='-c search_path={name}'"

    def run_sql(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement behind the back of the code under test; its rows."""
        connection = psycopg2.connect(self.dsn)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def _run(self, *command: str) -> None:
        account = self._account
        subprocess.run(
            command,
            check=True,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


_shared: list[PostgresServer] = []


def shared_server() -> PostgresServer:
    """The server of this run of trial, running; the test is skipped where PostgreSQL is not installed."""
    if not _shared:
        server = PostgresServer()
        atexit.register(server.remove)
        server.start()
        _shared.append(server)
    return _shared[0]


def _account() -> pwd.struct_passwd | None:
    """Who the server runs as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
