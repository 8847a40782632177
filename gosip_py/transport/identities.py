"""Whom a certificate is for, as SIP reads it (RFC 5922 7.1, 7.2)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import attrs
from cryptography import x509
from cryptography.x509.oid import NameOID

from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import Uri, escape_user, parse_uri
from gosip_py.transport.addressing import numeric_address

__all__ = ["SipIdentities", "identities_of"]

_MOST_NAMES = 256
_DNS_NAME = re.compile(r"[a-z0-9_*][a-z0-9_.-]*+\Z")


@attrs.frozen
class SipIdentities:
    """The SIP domains and the single users that a certificate names, and its addresses. Names are lower case.

    ``users`` are URIs without port and parameters: ``sip:alice@example.com``.
    """

    domains: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()

    def name(self, domain: str, allow_wildcards: bool = False) -> bool:
        """Whether they name the host of a URI, a name or a numeric address, in its entirety (7.2).

        With ``allow_wildcards`` a certificate for ``*.example.com`` is one for ``pbx.example.com`` too, as on the web.
        """
        address = numeric_address(domain)
        if address is not None:
            return address in self.addresses
        wanted = domain.lower().rstrip(".")
        if wanted in self.domains:
            return True
        return allow_wildcards and f"*.{wanted.partition('.')[2]}" in self.domains

    @property
    def texts(self) -> tuple[str, ...]:
        """Domains and users."""
        return (*self.domains, *self.users)


def identities_of(certificate: x509.Certificate) -> SipIdentities:
    """What stands in a certificate; whether it is valid was asked elsewhere. What cannot be read is left out."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        # 7.1 item 2: the common name counts if and only if there is no subjectAltName
        return SipIdentities(tuple(filter(_DNS_NAME.match, _subject_names(certificate))))
    except ValueError:
        return SipIdentities()
    uris = _sip_uris(names.get_values_for_type(x509.UniformResourceIdentifier)[:_MOST_NAMES])
    # 7.1 item 1: DNS names count if and only if no sip URI names a domain
    domains = [uri.host for uri in uris if not uri.user]
    if not domains:
        found = (name.lower().rstrip(".") for name in names.get_values_for_type(x509.DNSName)[:_MOST_NAMES])
        domains = [name for name in found if _DNS_NAME.match(name)]  # what looks like a URI must not pass for a user
    users = [f"sip:{escape_user(uri.user)}@{uri.host}" for uri in uris if uri.user]
    addresses = [
        each for each in names.get_values_for_type(x509.IPAddress) if isinstance(each, IPv4Address | IPv6Address)
    ]
    return SipIdentities(tuple(domains), tuple(users), tuple(addresses))


def _subject_names(certificate: x509.Certificate) -> list[str]:
    attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [str(attribute.value).lower() for attribute in attributes]


def _sip_uris(texts: list[str]) -> list[Uri]:
    """Those of the scheme sip, the only one that counts (7.1)."""
    uris: list[Uri] = []
    for text in texts:
        try:
            uri = parse_uri(text)
        except ParseError:
            continue
        if uri.scheme == "sip":
            uris.append(uri)
    return uris
