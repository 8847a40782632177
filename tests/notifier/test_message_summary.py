"""The lamp of a mailbox."""

from __future__ import annotations

from gosip_py.notifier.packages.message_summary import WaitingMessages
from tests.conformance import conforms
from tests.notifier.office import ALICE, OfficeCase, Watcher
from tests.proxy.switchboard import DOMAIN


class SummaryTests(OfficeCase):
    @conforms("RFC 3842 3.5", "RFC 3842 3.8")
    def test_nothing_waits_and_then_a_message_comes(self) -> None:
        watcher = Watcher(self.alice, "message-summary")
        first = watcher.begun()
        self.assertEqual(first.value("content-type"), "application/simple-message-summary")
        self.assertEqual(
            first.body, f"Messages-Waiting: no\r\nMessage-Account: {ALICE}\r\nVoice-Message: 0/0 (0/0)\r\n".encode()
        )
        self.office.letterbox.messages[1] = WaitingMessages(2, 8, 0, 2)
        self.office.message_summary.mailbox_changed(1)
        self.board.run(1)
        self.assertEqual(
            watcher.told().body,
            f"Messages-Waiting: yes\r\nMessage-Account: {ALICE}\r\nVoice-Message: 2/8 (0/2)\r\n".encode(),
        )

    @conforms("RFC 3842 3.5")
    def test_a_count_has_a_largest_value(self) -> None:
        self.office.letterbox.messages[1] = WaitingMessages(2**40, 1)
        self.assertIn(b"Voice-Message: 4294967295/1 (0/0)", Watcher(self.alice, "message-summary").begun().body)

    @conforms("RFC 3842 3.11")
    def test_at_most_one_a_second_and_none_when_the_counts_are_as_they_were(self) -> None:
        watcher = Watcher(self.alice, "message-summary")
        watcher.begun()
        for count in (1, 2, 3, 0):
            self.office.letterbox.messages[1] = WaitingMessages(count)
            self.office.message_summary.mailbox_changed(1)
        watcher.hears_nothing(3)
        self.office.message_summary.mailbox_changed(2)
        watcher.hears_nothing(3)

    @conforms("RFC 3842 3.7")
    def test_the_mailbox_is_the_user_s_whichever_phone_asks(self) -> None:
        watcher = Watcher(self.alice, "message-summary", f"sip:alice-desk@{DOMAIN}")
        self.assertIn(f"Message-Account: {ALICE}".encode(), watcher.begun().body)
        Watcher(self.bob, "message-summary").refused(403)
