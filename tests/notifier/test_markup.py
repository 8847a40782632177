"""XML from peers and for peers."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.notifier.markup import DEEPEST, MOST_ELEMENTS, node, read_tree, text_of, write_tree
from gosip_py.sip.errors import ParseError


class ReadTests(SynchronousTestCase):
    def assert_refused(self, body: bytes) -> None:
        with self.assertRaises(ParseError):
            read_tree(body)

    def test_names(self) -> None:
        root = read_tree(b'<a xmlns="urn:n" xmlns:p="urn:p" x="1" p:y="2"><p:b>t</p:b></a>')
        self.assertEqual(root.tag, "{urn:n}a")
        self.assertEqual(root.attrib, {"x": "1", "{urn:p}y": "2"})
        self.assertEqual((root[0].tag, root[0].text), ("{urn:p}b", "t"))

    def test_what_is_no_xml(self) -> None:
        for body in (b"", b"x", b"<a>", b"<a></b>", b"<a/><b/>", b"<p:a/>", b"<a>\xff</a>", b"<a>&x;</a>", b"\0"):
            self.assert_refused(body)

    def test_a_document_type_in_any_form(self) -> None:
        self.assert_refused(b"<!DOCTYPE a><a/>")
        self.assert_refused(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>')
        self.assert_refused(b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')

    def test_the_encoding_that_a_document_claims_is_not_looked_for(self) -> None:
        self.assertEqual(read_tree(b'<?xml version="1.0" encoding="punycode"?><a>x</a>').text, "x")
        self.assert_refused('<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe4</a>'.encode("latin-1"))

    def test_depth_and_number_are_bounded(self) -> None:
        read_tree(b"<a>" * DEEPEST + b"</a>" * DEEPEST)
        self.assert_refused(b"<a>" * (DEEPEST + 1) + b"</a>" * (DEEPEST + 1))
        read_tree(b"<a>" + b"<b/>" * (MOST_ELEMENTS - 1) + b"</a>")
        self.assert_refused(b"<a>" + b"<b/>" * MOST_ELEMENTS + b"</a>")

    @given(st.binary(max_size=200))
    def test_whatever_comes_is_read_or_refused(self, body: bytes) -> None:
        try:
            read_tree(body)
        except ParseError:
            pass


class WriteTests(SynchronousTestCase):
    def test_a_node(self) -> None:
        self.assertEqual(node("a", {}), "<a/>")
        self.assertEqual(node("a", {"x": 1, "y": None}, "<b/>", "t"), '<a x="1"><b/>t</a>')

    @given(st.text(alphabet=st.characters(codec=None)), st.text(alphabet=st.characters(codec=None)))
    def test_whatever_is_written_can_be_read(self, value: str, text: str) -> None:
        root = fromstring(node("a", {"x": value}, text_of(text)).encode())
        self.assertEqual(len(root), 0)
        self.assertEqual(len(root.get("x") or ""), len(value))

    def test_a_tree_comes_out_as_it_went_in(self) -> None:
        text = (
            '<a xmlns="urn:n" xmlns:p="urn:p" xmlns:q="urn:q" xml:lang="en" p:x="&lt;&quot;">1<p:b q:y="2">3</p:b>4'
            '<c xmlns="urn:other">5<a xmlns="urn:n"/><none xmlns=""/></c>6</a>'
        )
        tree = read_tree(text.encode())
        for default, prefixes in (("urn:n", {"urn:p": "p"}), ("urn:z", {}), ("", {"urn:other": "o"})):
            declared = {"xmlns": default or None} | {f"xmlns:{prefix}": space for space, prefix in prefixes.items()}
            again = fromstring(node("root", declared, write_tree(tree, default, prefixes)))[0]
            self.assertEqual(flat(again), flat(tree))


def flat(element: object) -> object:
    """Everything about an element, to compare."""
    tag, attributes, text = element.tag, element.attrib, element.text  # type: ignore[attr-defined]  # an Element
    children = [(flat(child), child.tail or "") for child in element]  # type: ignore[attr-defined]
    return tag, dict(attributes), text or "", children
