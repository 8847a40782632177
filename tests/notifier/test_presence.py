"""Presence: what is derived, what phones publish, and how both become one document (RFC 3856, RFC 3863, RFC 3903)."""

from __future__ import annotations

from gosip_py.events import DeviceChanged, UserChanged
from gosip_py.notifier.packages.presence import MOST_OCTETS, PIDF
from gosip_py.registrar.location import Contact
from gosip_py.sip.message import Request, Response
from tests.conformance import conforms
from tests.notifier.office import ALICE, BOB, PUBLICATION_LIMITS, OfficeCase, Watcher, root_of
from tests.proxy.switchboard import DOMAIN, Phone
from tests.registrar.fakes import NOW, binding, device

DM = "urn:ietf:params:xml:ns:pidf:data-model"
RPID = "urn:ietf:params:xml:ns:pidf:rpid"


def name(local: str) -> str:
    return f"{{{PIDF}}}{local}"


def pidf(basic: str = "open", *, entity: str = ALICE, id: str = "t1", note: str = "", more: str = "") -> str:
    told = f"<note>{note}</note>" if note else ""
    return (
        f'<?xml version="1.0"?><presence xmlns="{PIDF}" entity="{entity}">'
        f'<tuple id="{id}"><status><basic>{basic}</basic></status>{told}</tuple>{more}</presence>'
    )


def basics(notify: Request) -> list[str | None]:
    return [each.findtext(f"{name('status')}/{name('basic')}") for each in root_of(notify).findall(name("tuple"))]


class PresenceCase(OfficeCase):
    def next(self, watcher: Watcher) -> Request:
        self.board.run(5)
        return watcher.told()

    def ask(
        self,
        body: str = "",
        *more: str,
        tag: str = "",
        expires: int | None = 600,
        uri: str = ALICE,
        phone: Phone | None = None,
    ) -> Request:
        """A PUBLISH, sent."""
        lines = ["Event: presence", *(() if expires is None else (f"Expires: {expires}",))]
        if tag:
            lines.append(f"SIP-If-Match: {tag}")
        if body and not any(line.startswith("Content-Type") for line in more):
            lines.append("Content-Type: application/pidf+xml")
        return (phone or self.alice).ask("PUBLISH", uri, *lines, *more, body=body)

    def publish(self, body: str = "", *, tag: str = "", expires: int | None = 600) -> Response:
        """A PUBLISH that is taken; the 200."""
        self.ask(body, tag=tag, expires=expires)
        return self.alice.response(200, "PUBLISH")

    def refused(self, status: int) -> Response:
        return self.alice.response(status, "PUBLISH")


class DerivedTests(PresenceCase):
    @conforms("RFC 3856 6.5", "RFC 3863 4.1.4")
    def test_nobody_is_there(self) -> None:
        notify = Watcher(self.bob, "presence").begun()
        root = root_of(notify)
        self.assertEqual((root.tag, root.get("entity")), (name("presence"), ALICE))
        self.assertEqual(notify.value("content-type"), "application/pidf+xml")
        self.assertEqual(basics(notify), ["closed"])

    @conforms("RFC 3856 6.7")
    def test_a_phone_registers_under_whichever_name_and_leaves(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        self.alice.register("alice-desk", 10)
        self.assertEqual(basics(self.next(watcher)), ["open"])
        (held,) = self.board.location.lookup(f"sip:alice-desk@{DOMAIN}", self.board.now())
        self.board.location.remove(held, "expired", self.board.now())
        self.assertEqual(basics(self.next(watcher)), ["closed"])

    def test_a_second_phone_changes_nothing(self) -> None:
        self.alice.register("alice", 10)
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        Phone(self.board, "192.0.2.90", "alice").register("alice-desk", 10)
        watcher.hears_nothing(6)

    def test_a_page_in_a_browser_of_before_a_restart_is_not_there(self) -> None:
        before = binding("sip:a@x3f.invalid;transport=ws", ALICE, transport="WS", expires_at=NOW + 600)
        self.board.location.add(Contact(before, None), NOW)
        self.assertEqual(basics(Watcher(self.bob, "presence").begun()), ["closed"])

    def test_whoever_is_disabled_is_not_there_whatever_they_published(self) -> None:
        self.publish(pidf("open"))
        watcher = Watcher(self.bob, "presence")
        self.assertEqual(basics(watcher.begun()), ["open"])
        self.office.change_user(1, enabled=False)
        self.assertEqual(basics(self.next(watcher)), ["closed"])

    def test_do_not_disturb(self) -> None:
        self.alice.register("alice", 10)
        watcher = Watcher(self.bob, "presence")
        self.assertEqual(basics(watcher.begun()), ["open"])
        self.office.change_user(1, dnd=True)
        notify = self.next(watcher)
        self.assertEqual(basics(notify), ["closed"])
        self.assertIn(b"<note>Do not disturb</note>", notify.body)

    def test_on_the_phone(self) -> None:
        watcher = Watcher(self.carol, "presence", BOB)
        watcher.begun()
        calling, _ = self.talking()
        notify = self.next(watcher)
        self.assertEqual(basics(notify), ["open"])
        self.assertIn(b"<note>On the phone</note>", notify.body)
        self.assertIsNotNone(root_of(notify).find(f"{{{DM}}}person/{{{RPID}}}activities/{{{RPID}}}on-the-phone"))
        self.hang_up(calling, self.bob)
        self.assertNotIn(b"phone</note>", self.next(watcher).body)

    def test_a_device_that_came_or_went_may_matter(self) -> None:
        self.alice.register("alice-soft", 11)
        watcher = Watcher(self.bob, "presence")
        self.assertEqual(basics(watcher.begun()), ["open"])
        self.board.bus.publish(DeviceChanged(11))
        self.board.bus.publish(DeviceChanged(99))
        watcher.hears_nothing(6)
        other = device(11, 3, "alice-soft")
        self.board.directory.apply_device(other)
        self.board.bus.publish(DeviceChanged(11))  # it is Carol's now
        self.office.change_user(1)
        self.assertEqual(basics(self.next(watcher)), ["closed"])

    @conforms("RFC 3856 6.6.2")
    def test_who_may_watch(self) -> None:
        Watcher(self.bob, "presence").begun()
        request = self.alice.make("SUBSCRIBE", ALICE, "Event: presence")
        request.set("from", "<sip:spy@elsewhere.example>;tag=1")
        self.alice.send(request)
        self.alice.response(403, "SUBSCRIBE")


class PublishTests(PresenceCase):
    @conforms("RFC 3903 6", "RFC 3856 6.7")
    def test_what_is_published_is_told_as_it_was_said(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        answer = self.publish(pidf("open", note="At lunch &amp; back soon"))
        self.assertEqual(answer.value("expires"), "600")
        self.assertTrue(answer.value("sip-etag"))
        self.assertNotIn("record-route", answer.names)
        notify = self.next(watcher)
        self.assertEqual(basics(notify), ["open"])
        self.assertEqual(root_of(notify).findtext(f"{name('tuple')}/{name('note')}"), "At lunch & back soon")

    @conforms("RFC 3903 6", "RFC 3903 8.3")
    def test_each_publication_gets_a_new_tag_and_the_old_one_is_void(self) -> None:
        tags = [self.publish(pidf()).require("sip-etag")]
        tags.append(self.publish(tag=tags[-1]).require("sip-etag"))
        tags.append(self.publish(pidf("closed"), tag=tags[-1]).require("sip-etag"))
        self.assertEqual(len({*tags}), 3)
        for old in tags[:2]:
            self.ask(tag=old)
            self.refused(412)
        self.assertEqual(len(self.office.publications), 1)

    @conforms("RFC 3903 6")
    def test_refresh_modify_and_remove(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        tag = self.publish(pidf()).require("sip-etag")
        before = root_of(self.next(watcher)).find(name("tuple"))
        tag = self.publish(tag=tag).require("sip-etag")
        watcher.hears_nothing(6)
        tag = self.publish(pidf("closed"), tag=tag).require("sip-etag")
        notify = self.next(watcher)
        after = root_of(notify).find(name("tuple"))
        assert before is not None and after is not None
        self.assertEqual(basics(notify), ["closed"])
        self.assertEqual(before.get("id"), after.get("id"))
        answer = self.publish(tag=tag, expires=0)
        self.assertEqual(answer.value("expires"), "0")
        self.assertEqual(len(self.office.publications), 0)
        self.assertIn(b'id="phones"', self.next(watcher).body)

    @conforms("RFC 3903 6")
    def test_a_publication_expires(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        tag = self.publish(pidf(), expires=60).require("sip-etag")
        self.next(watcher)
        self.board.run(60)
        self.assertIn(b'id="phones"', watcher.told().body)
        self.ask(tag=tag)
        self.refused(412)

    @conforms("RFC 3903 6")
    def test_nothing_is_kept_of_what_expires_at_once(self) -> None:
        self.assertEqual(self.publish(pidf(), expires=0).value("expires"), "0")
        self.assertEqual(len(self.office.publications), 0)

    @conforms("RFC 3903 6")
    def test_durations(self) -> None:
        self.assertEqual(self.publish(pidf(), expires=None).value("expires"), "3600")
        self.assertEqual(self.publish(pidf(), expires=1_000_000).value("expires"), "7200")
        self.ask(pidf(), expires=59)
        self.assertEqual(self.refused(423).value("min-expires"), "60")

    @conforms("RFC 3903 6")
    def test_another_event(self) -> None:
        for event in (("Event: dialog",), ("Event: unheard-of",), ()):
            self.alice.ask("PUBLISH", ALICE, *event, "Content-Type: application/pidf+xml", body=pidf())
            self.assertEqual(self.refused(489).value("allow-events"), "presence")

    @conforms("RFC 3903 6")
    def test_the_precondition_is_one_tag(self) -> None:
        for tag in ("a, b", "no token", "a\r\nSIP-If-Match: b"):
            self.ask(pidf(), tag=tag)
            self.refused(400)
        self.ask(pidf(), tag="unknown")
        self.refused(412)

    @conforms("RFC 3903 6")
    def test_a_body_is_needed_and_understood(self) -> None:
        self.ask("")
        self.assertIn("body", self.refused(400).require("warning"))
        self.ask("v=0", "Content-Type: application/sdp")
        self.assertEqual(self.refused(415).value("accept"), "application/pidf+xml")
        self.ask("x" * (PUBLICATION_LIMITS.octets + 1), "Content-Type: application/pidf+xml")
        self.refused(413)

    def test_a_body_that_is_no_presence_document_of_this_user(self) -> None:
        for body in (
            "<",
            "<presence/>",
            f'<dialog-info xmlns="{PIDF}"/>',
            pidf(entity=BOB),
            pidf(entity="sip:alice@elsewhere.example"),
            pidf(entity="nonsense"),
            f'<presence xmlns="{PIDF}"/>',
            '<!DOCTYPE presence [<!ENTITY a "b">]>' + pidf().partition("?>")[2],
        ):
            self.ask(body)
            self.refused(400)
        self.assertEqual(len(self.office.publications), 0)

    def test_the_user_may_be_named_in_more_than_one_way(self) -> None:
        for entity in ("pres:alice@example.com", "sip:ALICE@example.com", "sip:alice-desk@example.com"):
            self.publish(pidf(entity=entity))

    def test_a_body_that_grows_when_it_is_written(self) -> None:
        """A long name of a namespace, declared once, with every element: 12 kB became 6 MB for each subscriber."""
        more = "<a:x/>" * 900
        self.ask(f'<presence xmlns="{PIDF}" xmlns:a="urn:{"x" * 7000}" entity="{ALICE}">{more}</presence>')
        self.assertIn("namespaces", self.refused(400).require("warning"))

    @conforms("RFC 3903 14.1")
    def test_only_for_oneself(self) -> None:
        self.ask(pidf(), phone=self.bob)
        self.assertIn("bob", self.bob.response(403, "PUBLISH").require("warning"))

    @conforms("RFC 5627 5.4")
    def test_a_temporary_gruu_does_not_tell_whose_it_is(self) -> None:
        self.alice.register("alice-desk", 10, instance="<urn:uuid:1>", gruu="00112233")
        gruu = self.board.gruus.temporary(f"sip:alice-desk@{DOMAIN}", "<urn:uuid:1>", "00112233")
        self.ask(pidf(), uri=gruu, phone=self.bob)
        self.assertNotIn(b"alice", self.bob.response(403, "PUBLISH").to_bytes())

    def test_an_extension_that_is_required(self) -> None:
        self.ask(pidf(), "Require: x")
        self.refused(420)

    def test_one_that_fails_changes_nothing(self) -> None:
        tag = self.publish(pidf()).require("sip-etag")
        self.ask("<", tag=tag)
        self.refused(400)
        self.publish(tag=tag)


class CompositionTests(PresenceCase):
    @conforms("RFC 3903 10.3", "RFC 3903 10.4")
    def test_two_phones_of_one_user(self) -> None:
        self.publish(pidf("open"))
        self.publish(pidf("closed", more="<note>Hello</note>"))
        root = root_of(Watcher(self.bob, "presence").begun())
        self.assertEqual([child.tag for child in root], [name("tuple"), name("tuple"), name("note")])
        self.assertEqual(len({child.get("id") for child in root.findall(name("tuple"))}), 2)

    @conforms("RFC 3863 4.2")
    def test_extensions_pass(self) -> None:
        person = (
            f'<p:person xmlns:p="{DM}" id="me"><r:activities xmlns:r="{RPID}"><r:away/></r:activities></p:person>'
            '<x:thing xmlns:x="urn:x" x:a="1" b="2" xml:lang="de">text<x:inner/>tail</x:thing>'
        )
        self.publish(pidf(more=person))
        notify = Watcher(self.bob, "presence").begun()
        root = root_of(notify)
        self.assertIsNotNone(root.find(f"{{{DM}}}person/{{{RPID}}}activities/{{{RPID}}}away"))
        thing = root.find("{urn:x}thing")
        assert thing is not None
        self.assertEqual((thing.get("{urn:x}a"), thing.get("b")), ("1", "2"))
        self.assertEqual(thing.get("{http://www.w3.org/XML/1998/namespace}lang"), "de")
        self.assertEqual((thing.text, thing[0].tag, thing[0].tail), ("text", "{urn:x}inner", "tail"))
        self.assertIn(b"<tuple id=", notify.body)

    def test_the_document_is_bounded_and_the_newest_is_in_it(self) -> None:
        filler = "x" * 16_000
        for number in range(4):
            self.publish(pidf(note=f"{number}{filler}"))
        body = Watcher(self.bob, "presence").begun().body
        self.assertLess(len(body), MOST_OCTETS + 1000)
        self.assertNotIn(b"<note>0x", body)
        self.assertIn(b"<note>3x", body)

    def test_a_phone_that_forgot_its_tags_takes_no_more_room(self) -> None:
        for number in range(PUBLICATION_LIMITS.per_user + 2):
            self.publish(pidf(note=f"n{number}"))
        self.assertEqual(len(self.office.publications), PUBLICATION_LIMITS.per_user)
        body = Watcher(self.bob, "presence").begun().body
        self.assertNotIn(b"n0", body)
        self.assertIn(b"n4", body)

    def test_there_is_room_for_so_many(self) -> None:
        for _ in range(3):
            self.publish(pidf())
        tags = []
        for _ in range(2):
            self.ask(pidf(entity=BOB), uri=BOB, phone=self.bob)
            tags.append(self.bob.response(200, "PUBLISH").require("sip-etag"))
        self.ask(pidf(entity="sip:carol@example.com"), uri="sip:carol@example.com", phone=self.carol)
        self.assertEqual(self.carol.response(503, "PUBLISH").value("retry-after"), "60")
        self.ask(tag=tags[0], uri=BOB, phone=self.bob)
        self.bob.response(200, "PUBLISH")

    def test_what_a_user_published_goes_with_the_user(self) -> None:
        self.publish(pidf())
        user = self.board.directory.user(1)
        assert user is not None
        self.board.directory.forget_user(1)
        self.board.bus.publish(UserChanged(1))
        self.assertEqual(len(self.office.publications), 0)
        self.board.directory.apply_user(user)
