"""Who is calling, and whether the page that makes the browser call is ours."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from gosip_py.store import credentials
from gosip_py.store.accounts import ApiTokens, WebSessions
from gosip_py.store.directory import Directory
from gosip_py.store.records import User, WebSession
from gosip_py.web.endpoint import NOBODY, Identity
from gosip_py.web.problem import forbidden, unauthenticated
from gosip_py.web.request import WebRequest

__all__ = ["Access"]

COOKIE = "gosip_session"
SESSION_SECONDS = 86400
SLIDE_SECONDS = 60.0
"""A session is extended, and a token's last use noted, at most this often: not every GET is to write."""


@attrs.frozen
class Access:
    """Signs browsers in and out, and recognises them and the bearers of API tokens."""

    sessions: WebSessions
    tokens: ApiTokens
    directory: Directory
    public_url: str = ""

    async def identify(self, request: WebRequest, now: float) -> Identity:
        """Who sent it, or NOBODY; raises a 401 for an Authorization that is of no use, and DatabaseUnavailable."""
        authorization = request.getHeader("Authorization")
        if authorization is not None:
            return await self._bearer(authorization, now)
        cookie = _cookie(request)
        return await self._session(request, credentials.token_hash(cookie), now) if cookie else NOBODY

    async def _bearer(self, authorization: str, now: float) -> Identity:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthenticated("Only Bearer tokens are taken")
        token = await self.tokens.by_hash(credentials.token_hash(value.strip()), now)
        user = self._enabled(token.user_id) if token is not None else None
        if token is None or user is None:
            raise unauthenticated("This token is not valid")
        if token.last_used_at is None or token.last_used_at < now - SLIDE_SECONDS:
            await self.tokens.touch(token.id, now)
        return Identity(user, scopes=token.scopes, is_bearer=True)

    async def _session(self, request: WebRequest, token_hash: str, now: float) -> Identity:
        session = await self.sessions.get(token_hash, now)
        user = self._enabled(session.user_id) if session is not None else None
        if session is None or user is None:
            return NOBODY
        if session.expires_at < now + SESSION_SECONDS - SLIDE_SECONDS:
            await self.sessions.extend(token_hash, now + SESSION_SECONDS)
            self._set_cookie(request, _cookie(request), SESSION_SECONDS)
        return Identity(user, session_hash=token_hash)

    def _enabled(self, user_id: int) -> User | None:
        user = self.directory.user(user_id)
        return user if user is not None and user.enabled else None

    async def sign_in(self, request: WebRequest, user: User, now: float) -> None:
        """Open a new session for the browser, whatever it had before: a planted cookie is worth nothing."""
        await self.sign_out(request)
        await self.sessions.prune(now)
        token = credentials.token()
        agent = (request.getHeader("User-Agent") or "")[:255]
        await self.sessions.create(
            WebSession(credentials.token_hash(token), user.id, now, now + SESSION_SECONDS, request.peer, agent)
        )
        self._set_cookie(request, token, SESSION_SECONDS)

    async def sign_out(self, request: WebRequest) -> None:
        """End the browser's session, if it has one."""
        cookie = _cookie(request)
        if cookie:
            await self.sessions.delete(credentials.token_hash(cookie))
            self._set_cookie(request, "", 0)

    def _set_cookie(self, request: WebRequest, value: str, seconds: int) -> None:
        request.cookies.clear()
        request.addCookie(
            COOKIE,
            value,
            path="/",
            max_age=str(seconds),
            secure=request.isSecure() or self.public_url.startswith("https:"),
            httpOnly=True,
            sameSite="strict",
        )

    def check_origin(self, request: WebRequest) -> None:
        """Raise a 403 when the browser says that another site's page made it write.

        Every browser sends Sec-Fetch-Site (to https and localhost) or Origin with such a request. Who sends neither is
        no browser, and carries no cookie that its user does not know of.
        """
        site = request.getHeader("Sec-Fetch-Site")
        if site is not None:
            is_ours = site in ("same-origin", "none")
        else:
            origin = request.getHeader("Origin")
            is_ours = origin is None or origin in self._own_origins(request)
        if not is_ours:
            raise forbidden("Another site's page may not change anything here")

    def _own_origins(self, request: WebRequest) -> tuple[str, ...]:
        host = request.getHeader("Host") or ""
        public = urlsplit(self.public_url)
        return (f"http://{host}", f"https://{host}", f"{public.scheme}://{public.netloc}")


def _cookie(request: WebRequest) -> str:
    value = request.getCookie(COOKIE.encode())
    return value.decode("ascii", "replace") if value else ""
