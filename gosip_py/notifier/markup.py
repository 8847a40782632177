"""Small XML documents: written from what peers sent, and read from peers who mean harm.

Whatever text comes in, what is written is well-formed. What is read is bounded in depth and number of elements, and may
have no document type: with one come entities, and with these a small body that is large, or reads files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape

from gosip_py.sip.errors import ParseError

__all__ = ["DECLARATION", "local_name", "namespace", "node", "read_tree", "text_of", "write_tree"]

DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\r\n'
DEEPEST = 32
MOST_ELEMENTS = 1000

_XML = "http://www.w3.org/XML/1998/namespace"
# XML 1.0 2.2; a lone surrogate stands for an octet that is no UTF-8
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QUOTES = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def text_of(value: object) -> str:
    """``value`` as character data."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def attribute_of(value: object) -> str:
    """``value`` between the quotes of an attribute."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value)), _QUOTES)


def node(name: str, attributes: Mapping[str, object], *children: str) -> str:
    """An element; attributes that are None are left out, and ``children`` are markup already."""
    written = "".join(f' {key}="{attribute_of(value)}"' for key, value in attributes.items() if value is not None)
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


# -- reading -----------------------------------------------------------------------------------------------------------


def read_tree(body: bytes) -> Element:
    """The root of a document in UTF-8; names are written ``{namespace}local``. ParseError when it is not acceptable."""
    return _Reader().read(body)


class _Reader:
    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = 0
        self._count = 0
        # The encoding is given: what the document claims may be any codec that there is.
        self._parser = ParserCreate("utf-8", "}")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._forbid
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._builder.data

    def read(self, body: bytes) -> Element:
        try:
            self._parser.Parse(body, True)
        except ExpatError as error:
            raise ParseError(f"the body is no XML in UTF-8: {error}") from None
        return self._builder.close()

    def _forbid(self, *_declared: object) -> None:
        raise ParseError("the body has a document type: send it without")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > DEEPEST or self._count > MOST_ELEMENTS:
            raise ParseError(f"the body has more than {MOST_ELEMENTS} elements, or nests them more than {DEEPEST} deep")
        self._builder.start(_qualified(name), {_qualified(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._builder.end(_qualified(name))


def _qualified(name: str) -> str:
    return "{" + name if "}" in name else name


def namespace(name: str) -> str:
    """The namespace of ``{namespace}local``, empty when there is none."""
    return name[1 : name.rindex("}")] if name.startswith("{") else ""


def local_name(name: str) -> str:
    """The local part of ``{namespace}local``."""
    return name[name.rindex("}") + 1 :] if name.startswith("{") else name


# -- writing what was read ---------------------------------------------------------------------------------------------


def write_tree(element: Element, default: str, prefixes: Mapping[str, str]) -> str:
    """The element, to stand where ``default`` is the default namespace and ``prefixes`` (by namespace) are declared.

    Other namespaces are declared where they occur. What stands behind the element is not written.
    """
    space = namespace(element.tag)
    declared: dict[str, object] = {}
    name = local_name(element.tag)
    if space in prefixes:
        name = f"{prefixes[space]}:{name}"
    elif space != default:
        declared["xmlns"] = default = space
    for key, value in element.attrib.items():
        declared.update(_written_attribute(key, value, prefixes, len(declared)))
    children = [text_of(element.text or "")]
    for child in element:
        children += (write_tree(child, default, prefixes), text_of(child.tail or ""))
    return node(name, declared, *filter(None, children))


def _written_attribute(key: str, value: str, prefixes: Mapping[str, str], number: int) -> dict[str, object]:
    space, name = namespace(key), local_name(key)
    if not space:
        return {name: value}
    if space == _XML:
        return {f"xml:{name}": value}
    if space in prefixes:
        return {f"{prefixes[space]}:{name}": value}
    return {f"xmlns:a{number}": space, f"a{number}:{name}": value}
