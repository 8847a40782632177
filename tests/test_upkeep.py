"""What goes on beside the calls, on virtual time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.background import Background
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.store.directory import Directory
from gosip_py.upkeep import DAY, FOLLOW_SECONDS, TIDY_SECONDS, Upkeep


class Followed(Directory):
    """Counts how often it was asked to follow the store, which may be away."""

    def __init__(self) -> None:
        self.count = 0
        self.is_away = False

    async def follow(self) -> bool:
        self.count += 1
        if self.is_away:
            raise DatabaseUnavailable("away")
        return False


class Rows:
    """Notes what is to be older than which time."""

    def __init__(self) -> None:
        self.befores: list[float] = []
        self.is_away = False

    async def prune(self, before: float) -> int:
        if self.is_away:
            raise DatabaseUnavailable("away")
        self.befores.append(before)
        return 0


class UpkeepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100 * DAY)
        self.background = Background()
        self.directory = Followed()
        self.old, self.expired = Rows(), Rows()
        prunes = ((self.old.prune, 30 * DAY), (self.expired.prune, 0.0))
        Upkeep(self.clock, self.background, self.directory, prunes).start()

    def tearDown(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.background.stop()))
        self.assertEqual((self.background.names, self.clock.getDelayedCalls()), ((), []))

    def test_both_chores_have_names(self) -> None:
        self.assertEqual(self.background.names, ("follow the directory", "tidy the store"))

    def test_the_directory_is_followed(self) -> None:
        self.assertEqual(self.directory.count, 0)
        for turn in range(1, 4):
            self.clock.advance(FOLLOW_SECONDS)
            self.assertEqual(self.directory.count, turn)

    def test_a_store_that_is_away_is_asked_again(self) -> None:
        self.directory.is_away = True
        self.clock.pump([FOLLOW_SECONDS] * 3)
        self.directory.is_away = False
        self.clock.pump([FOLLOW_SECONDS] * 2)
        self.assertEqual(self.directory.count, 5)

    def test_what_is_too_old_goes_at_the_start_and_then_each_hour(self) -> None:
        self.assertEqual((self.old.befores, self.expired.befores), ([70 * DAY], [100 * DAY]))
        self.clock.advance(TIDY_SECONDS)
        self.assertEqual(self.old.befores, [70 * DAY, 70 * DAY + TIDY_SECONDS])
        self.assertEqual(self.expired.befores, [100 * DAY, 100 * DAY + TIDY_SECONDS])

    def test_tidying_waits_while_the_store_is_away(self) -> None:
        self.old.is_away = True
        self.clock.pump([TIDY_SECONDS] * 2)
        self.assertEqual(len(self.expired.befores), 1)
        self.old.is_away = False
        self.clock.advance(TIDY_SECONDS)
        self.assertEqual((len(self.old.befores), len(self.expired.befores)), (2, 2))
