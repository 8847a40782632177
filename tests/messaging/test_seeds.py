"""Messages, registrations, a store and a phone that come and go by chance: nothing is lost, doubled or overtaken."""

from __future__ import annotations

import random

from gosip_py.messaging.recipient import MessageLimits
from gosip_py.store.records import BindingKey
from tests.messaging.board import AWAY, RelayCase
from tests.proxy.switchboard import DOMAIN

SEEDS = 150
STEPS = 40


class SeedTests(RelayCase):
    """A seed that fails is named, and gives the same run again."""

    def test_many(self) -> None:
        for seed in range(SEEDS):
            if seed:
                self.tearDown()
                self.setUp()
            self.stop()
            self.start(MessageLimits())
            self.random = random.Random(seed)
            self.taken: list[str] = []
            self.sent: dict[str, str] = {}
            try:
                self.live()
                self.settle()
                self.check()
            except AssertionError as error:
                error.add_note(f"seed {seed}")
                raise

    def live(self) -> None:
        """A while in which anything happens."""
        steps = (self.send, self.send, self.arrive, self.leave, self.toggle_store, self.toggle_waiting)
        for _ in range(STEPS):
            self.random.choice(steps)()
            self.live_on(self.random.choice((0.01, 0.3, 5.0, 20.0, 70.0)), self.random.random())

    def settle(self) -> None:
        """At last the store is there, and Bob's phone takes everything."""
        self.shelf.write()
        self.leave()
        self.arrive()
        self.live_on(200.0, 1.0)  # nothing is under way any more
        while self.shelf.rows and self.board.clock.seconds() < 100_000:
            self.live_on(60.0, 1.0)

    def live_on(self, seconds: float, willing: float) -> None:
        """The phone answers within moments, if it does: who has waited for 64*T1 waits no more."""
        while seconds > 0:
            self.board.run(min(seconds, 4.0))
            self.answer(willing)
            seconds -= 4.0

    def check(self) -> None:
        answers = dict.fromkeys(self.sent, "")
        for message in self.alice.heard:
            status = message.start_line.split()[1]
            if status != "100":
                self.assertEqual(answers[message.call_id], "", "one final answer for each message")
                answers[message.call_id] = status
        for call_id, text in self.sent.items():
            # Who got no answer in time, for the store was slow, cannot know; what is refused stays refused.
            allowed = {"": (0, 1), "200": (1,), "202": (1,)}.get(answers[call_id], (0,))
            self.assertIn(self.taken.count(text), allowed, (text, answers[call_id], self.taken))
        self.assert_empty()

    # -- what happens -------------------------------------------------------------------------------------------------

    def send(self) -> None:
        text = f"message {len(self.sent)}"
        self.sent[self.say(text).call_id] = text

    def arrive(self) -> None:
        if not self.board.location.lookup(f"sip:bob@{DOMAIN}", self.board.now()):
            self.bob.register("bob", 20)

    def leave(self) -> None:
        self.board.location.remove_key(
            BindingKey(f"sip:bob@{DOMAIN}", self.bob.contact), "unregistered", self.board.now()
        )

    def toggle_store(self) -> None:
        self.shelf.fault = None if self.shelf.fault else AWAY

    def toggle_waiting(self) -> None:
        if self.shelf.waits:
            self.shelf.write(self.shelf.fault)
        else:
            self.shelf.waits = True

    def answer(self, willing: float) -> None:
        """What the phone heard it takes, or puts off, or does not answer at all."""
        while "MESSAGE" in self.bob.titles:
            request = self.bob.request("MESSAGE")
            chance = self.random.random()
            if chance < willing:
                self.taken.append(request.body.decode())
                self.bob.respond(request, 200)
            elif chance < willing + 0.3:
                self.bob.respond(request, 480)
            self.board.run(0.1)
