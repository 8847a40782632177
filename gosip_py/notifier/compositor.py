"""The event state compositor: answers PUBLISH (RFC 3903 6)."""

from __future__ import annotations

from gosip_py.notifier.package import EventPackage, Resource, is_owner
from gosip_py.notifier.publication import Publication, Publications
from gosip_py.proxy.session import Caller
from gosip_py.registrar.contacts import expires_header
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import is_token
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Request
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.validation import Refusal, Validation, readable_body, supported_extensions

__all__ = ["Compositor"]

_RETRY_AFTER = (("retry-after", "60"),)


class Compositor:
    """Takes in what phones publish about their user for ``package``."""

    def __init__(self, package: EventPackage, publications: Publications) -> None:
        self._package = package
        self._publications = publications
        self._validation = Validation(supported_extensions(()), readable_body(package.published_type))

    def receive(self, transaction: ServerTransaction, caller: Caller, resource: Resource) -> Refusal | None:
        """Answer a PUBLISH for our package whose sender is known, or say why not; then nothing has changed."""
        request = transaction.request
        refusal = self._validation.refuse(request)
        if refusal is None and not is_owner(caller, resource):
            refusal = Refusal(403, f"publish for {caller.user}: others tell themselves what they do")
        if refusal is not None:
            return refusal
        try:
            answer = self._publish(request, resource)
        except ParseError as error:
            return Refusal(400, error.reason)
        if isinstance(answer, Refusal):
            return answer
        transaction.reply(200, headers=answer)
        return None

    def _publish(self, request: Request, resource: Resource) -> tuple[tuple[str, str], ...] | Refusal:
        """Items 3 to 6: the headers of the 200."""
        publications = self._publications
        held = self._find(request, resource)
        if isinstance(held, Refusal):
            return held
        expires = self._expires_of(request)
        if isinstance(expires, Refusal):
            return expires
        publication = held or publications.new(resource.user_id)
        parts = self._parts_of(request, resource, publication)
        if isinstance(parts, Refusal):
            return parts
        if expires == 0:
            publications.remove(publication)
            tag = new_token(16)
        elif held is None and publications.is_full:
            return Refusal(503, "as much is published as there is room for: try again later", _RETRY_AFTER)
        else:
            tag = publications.keep(publication, parts, expires)
        return ("expires", str(expires)), ("sip-etag", tag)

    def _find(self, request: Request, resource: Resource) -> Publication | Refusal | None:
        """Item 3: the publication that SIP-If-Match names; None without one."""
        values = request.values("sip-if-match")
        if not values:
            return None
        if len(values) > 1 or not is_token(values[0]):
            return Refusal(400, "SIP-If-Match takes exactly one entity-tag")
        found = self._publications.find(resource.user_id, values[0])
        if found is None:
            return Refusal(412, "that entity-tag is not known: it has expired or was replaced; publish without it")
        return found

    def _expires_of(self, request: Request) -> int | Refusal:
        """Item 4."""
        limits = self._publications.limits
        expires = expires_header(request)
        if expires is None:
            expires = limits.default_expires
        if 0 < expires < limits.min_expires:
            least = str(limits.min_expires)
            return Refusal(423, f"publish for at least {least} seconds", (("min-expires", least),))
        return min(expires, limits.max_expires)

    def _parts_of(
        self, request: Request, resource: Resource, publication: Publication
    ) -> tuple[str, ...] | Refusal | None:
        """Item 5: what the body brings; None when it only refreshes or removes what there is."""
        if not request.body:
            return None if publication.tag else Refusal(400, "send what is to be published in the body")
        if len(request.body) > self._publications.limits.octets:
            return Refusal(413, f"publish at most {self._publications.limits.octets} octets")
        return self._package.read(resource, request.body, publication.prefix)
