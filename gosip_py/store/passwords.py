"""Passwords of people: argon2id in two threads, so that neither the reactor nor its thread pool waits for it."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

THREADS = 2


class Passwords:
    """Makes and checks argon2id hashes between `start` and `stop`; t=2, m=19 MiB, p=1 as OWASP's cheat sheet has it."""

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=THREADS, name="passwords")
        self._argon2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        # Verified for a user who does not exist, so that the time of the answer does not tell.
        self._nobody = self._argon2.hash("nobody")

    def start(self) -> None:
        """Let the threads work."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for what runs, and end the threads."""
        self._pool.stop()

    async def hash(self, password: str) -> str:
        """The encoded hash of a password, with a salt of its own; raises ValueError for text that is not Unicode."""
        return await deferToThreadPool(self._reactor, self._pool, self._argon2.hash, password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password is the one; for None (no such user) or "" it takes as long and is False."""
        return await deferToThreadPool(self._reactor, self._pool, self._verify, encoded, password)

    def needs_rehash(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(encoded)

    def _verify(self, encoded: str | None, password: str) -> bool:
        try:
            self._argon2.verify(encoded or self._nobody, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False
        return bool(encoded)
