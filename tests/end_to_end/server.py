"""A gosip process that outlives a single test, so that the tests of a class share one; it may be killed.

Trial ends what the reactor still holds after each test, hence a process that the reactor knows nothing of.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred

from tests.running import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    OUTPUT_SHOWN,
    ROOT,
    START_SECONDS,
    STOP_SECONDS,
    Api,
    Settings,
    free_ports,
    make_identity,
    settings_for,
    settings_text,
    twistd,
    until,
)

__all__ = ["Server"]


class Server:
    """One data directory, and the process that works on it; `start` again after `stop` or `kill` takes it up again."""

    def __init__(self, over: Settings) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gosip-end-to-end-"))
        atexit.register(self._remove)
        identity = make_identity(self.directory)
        self.sip_port, tls_port, http_port = free_ports(3)
        self._config = self.directory / "gosip.toml"
        settings = settings_for(self.sip_port, tls_port, http_port, identity, over)
        self._config.write_text(settings_text(settings), "utf-8")
        self._log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.api = Api(http_port)

    @property
    def log(self) -> str:
        """All that its processes printed."""
        return self._log.read_text("utf-8", "replace")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, which must have been started."""
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        """Start the process, wait until it is ready, sign in."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        environment |= {"GOSIP_ADMIN_EMAIL": ADMIN_EMAIL, "GOSIP_ADMIN_PASSWORD": ADMIN_PASSWORD}
        argv = [twistd(), "-n", "--pidfile=", "gosip", "--config", str(self._config)]
        argv += ["--data-dir", str(self.directory / "kept")]
        before = len(self.log) if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                argv,
                env=environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        async def said() -> tuple[bool, int | None]:
            return "is ready" in self.log[before:], process.poll()

        is_ready, code = await until(said, lambda found: found[0] or found[1] is not None, START_SECONDS)
        if not is_ready:
            raise AssertionError(f"gosip ended with {code} at its start:\n{self.log[-OUTPUT_SHOWN:]}")
        await self.api.sign_in()

    async def stop(self) -> None:
        """SIGTERM; it must exit with 0, and its log holds no traceback."""
        await self.stopping()

    def stopping(self) -> Deferred[None]:
        """Begin to `stop`."""
        self.process.send_signal(signal.SIGTERM)
        return Deferred.fromCoroutine(self._stopped())

    async def _stopped(self) -> None:
        code = await self._exit_code()
        if code != 0 or "Traceback" in self.log:
            raise AssertionError(f"gosip ended with {code}:\n{self.log[-OUTPUT_SHOWN:]}")

    async def kill(self) -> None:
        """SIGKILL, if it runs."""
        self.process.send_signal(signal.SIGKILL)
        await self._exit_code()

    async def _exit_code(self) -> int | None:
        async def probe() -> int | None:
            return self.process.poll()

        return await until(probe, lambda code: code is not None, STOP_SECONDS)

    def _remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- what its books say ------------------------------------------------------------------------------------------

    def resident_octets(self) -> int:
        """Memory of the process that is in RAM."""
        pages = (Path("/proc") / str(self.process.pid) / "statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def rows(self, path: str, call_id: str) -> list[dict[str, Any]]:
        """The rows about a call."""
        page = await self.api.read(f"{path}?per_page=100&call_id={quote(call_id)}")
        found: list[dict[str, Any]] = page["data"]
        return found

    async def ready(self, status: int, part: str, seconds: float = 60.0) -> None:
        """Wait until /ready answers so, and names the part that is missing."""

        async def probe() -> tuple[int, str]:
            return await self.api.ask("GET", "/ready")

        await until(probe, lambda answer: answer[0] == status and part in answer[1], seconds)

    async def open_row(self, call_id: str, is_answered: bool = False) -> dict[str, Any]:
        """The journal row of a call that goes on, once it is in the store."""

        def is_there(rows: list[dict[str, Any]]) -> bool:
            return len(rows) == 1 and (rows[0]["answer_at"] is not None) is is_answered

        (row,) = await until(lambda: self.rows("/api/call_journals", call_id), is_there)
        assert row["end_at"] is None, row
        return row

    async def closed_row(self, call_id: str, seconds: float = 5.0) -> dict[str, Any]:
        """The one journal row of a call, once it is closed; every session of the call is terminated then."""

        def is_closed(rows: list[dict[str, Any]]) -> bool:
            return len(rows) > 0 and all(row["end_at"] is not None for row in rows)

        rows = await until(lambda: self.rows("/api/call_journals", call_id), is_closed, seconds)
        if len(rows) != 1:
            raise AssertionError(f"one call has {len(rows)} rows: {rows}")
        sessions = await self.rows("/api/sessions", call_id)
        if any(session["state"] != "terminated" for session in sessions):
            raise AssertionError(f"the call is over, its sessions are not: {sessions}")
        return rows[0]

    async def nothing_goes_on(self) -> None:
        """The gauges of calls and dialogs are 0."""

        async def probe() -> list[float]:
            names = ("gosip_calls_active", "sip_active_dialogs", "sip_dialog_entries")
            return [await self.api.metric(name) for name in names]

        await until(probe, lambda values: values == [0.0, 0.0, 0.0])

    async def bad_messages(self) -> float:
        """sip_bad_messages_total, 0 as long as there are no series of it."""
        _, text = await self.api.ask("GET", "/metrics")
        samples = re.findall(r"^sip_bad_messages_total\{.*\} (.*)$", text, re.MULTILINE)
        return sum(map(float, samples))

    async def transactions_end(self, seconds: float) -> None:
        """sip_transactions_in_flight is 0 again."""
        await until(lambda: self.api.metric("sip_transactions_in_flight"), lambda value: value == 0.0, seconds)
