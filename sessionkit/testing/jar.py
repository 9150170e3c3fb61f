"""A cookie jar as strict as browsers are, so that a cookie no browser would keep is not kept here either.

Rules of this file:

* RFC 6265bis, sections 5.7 (storing) and 5.8.3 (sending), step by step; ``Partitioned`` after CHIPS.
* Nothing is dropped silently: what was not stored, and why, is in ``CookieJar.refusals``, what had to make room in
  ``CookieJar.evicted``, and names set twice by one response in ``CookieJar.duplicates``.
* A value is opaque octets: no unquoting, no decoding.
* Time is an argument. Nothing here waits or looks at a clock.
* What a browser does is asked of one (``tests/browser``). One difference is left: Chromium sends a cookie whose value
  was changed as if it were new, after the others; here it keeps its place, as the RFC says.
* Not here: the list of public suffixes. A domain of one label (``com``, ``localhost``) is taken for one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from sessionkit.testing.cookie import (
    Cookie,
    attributes,
    default_path,
    domain_matches,
    expiry,
    is_loopback,
    path_matches,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["CookieJar", "Refusal"]

MAX_PAIR = 4096
"""Octets of name and value together (5.6 step 6)."""

MAX_PER_DOMAIN = 180
"""Cookies of one domain (Chrome and Firefox; the RFC asks for at least 50)."""

MAX_PARTITION = 10_240
"""Octets of names and values of one site in one partition (Chrome)."""

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_WHITESPACE = b" \t"
_SECURE_SCHEMES = frozenset({"https", "wss"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_PREFIXES = (b"__host-http-", b"__http-", b"__host-", b"__secure-")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A Set-Cookie field that was not stored.

    Attributes:
        name: the cookie's name.
        reason: what a browser dislikes about it.
    """

    name: bytes
    reason: str


class _Refused(Exception):  # noqa: N818 - caught in this file
    """Ends the storing of one field; its only argument is the reason."""


class _Origin(NamedTuple):
    """What a URL means to a cookie."""

    host: str
    path: str
    secure: bool


class CookieJar:
    """Keeps the cookies of one browser.

    Args:
        trust_loopback: take plain http to this machine for secure, as Chrome and Firefox do and Safari does not.
        max_per_domain: cookies kept for one domain before the least recently used makes room.

    Attributes:
        refusals: fields that were not stored, oldest first.
        duplicates: names that one response set twice, which RFC 6265bis forbids to servers.
        evicted: names of cookies that had to make room.
    """

    def __init__(self, *, trust_loopback: bool = False, max_per_domain: int = MAX_PER_DOMAIN) -> None:
        self.trust_loopback = trust_loopback
        self.max_per_domain = max_per_domain
        self.refusals: list[Refusal] = []
        self.duplicates: list[bytes] = []
        self.evicted: list[bytes] = []
        self._cookies: dict[tuple[bytes, str, bool, str, str | None], Cookie] = {}
        self._created = count(1)

    def __iter__(self) -> Iterator[Cookie]:
        """Iterate over the cookies, expired ones included, least recently used first."""
        return iter(tuple(self._cookies.values()))

    def __len__(self) -> int:
        """Count the cookies."""
        return len(self._cookies)

    def __repr__(self) -> str:
        """Show how many cookies there are."""
        return f"<CookieJar of {len(self._cookies)}>"

    def copy(self) -> CookieJar:
        """Return a jar with the same cookies: a second tab before its first answer, or a backup that is restored."""
        twin = CookieJar(trust_loopback=self.trust_loopback, max_per_domain=self.max_per_domain)
        twin._cookies = dict(self._cookies)
        twin._created = count(next(self._created))
        return twin

    def clear(self) -> None:
        """Forget all cookies."""
        self._cookies.clear()

    def close_browser(self) -> None:
        """Forget the cookies that end with the browser's session."""
        self._cookies = {key: cookie for key, cookie in self._cookies.items() if cookie.expires != math.inf}

    def get(self, name: str) -> bytes | None:
        """Return the value of the newest cookie of this name, or ``None``."""
        named = [cookie for cookie in self._cookies.values() if cookie.name == name.encode("latin-1")]
        return max(named, key=lambda cookie: cookie.created).value if named else None

    def plant(self, name: str, value: bytes, url: str) -> None:
        """Put a cookie in that nobody set: forged, altered, or left over from another time.

        Replaces a cookie of that name, host and path, and otherwise makes one for the URL's host and all its paths.
        """
        octets = name.encode("latin-1")
        origin = self._origin(url)
        for key, cookie in self._cookies.items():
            if cookie.name == octets and domain_matches(origin.host, cookie.domain):
                self._cookies[key] = replace(cookie, value=value)
                return
        cookie = Cookie(
            name=octets,
            value=value,
            domain=origin.host,
            host_only=True,
            path="/",
            secure=origin.secure,
            http_only=True,
            same_site="lax",
            partition=None,
            expires=math.inf,
            created=next(self._created),
        )
        self._cookies[cookie.identity] = cookie

    # --- storing (5.7) ------------------------------------------------------------------------------------------------

    def store(
        self,
        response_headers: Iterable[tuple[bytes, bytes]],
        url: str,
        now: float,
        *,
        same_site: bool = True,
        partition: str | None = None,
    ) -> None:
        """Store what one response sets.

        Args:
            response_headers: all headers of the response.
            url: where the response came from.
            now: Unix time in seconds.
            same_site: ``False`` for a response to a request that another site's page made, a navigation excepted.
            partition: the site at the top, for cookies that are ``Partitioned``; by default the URL's host.
        """
        origin = self._origin(url)
        seen: set[bytes] = set()
        for field, value in response_headers:
            if field.lower() != b"set-cookie":
                continue
            name = value.partition(b";")[0].partition(b"=")[0].strip(_WHITESPACE)
            if name in seen:
                self.duplicates.append(name)
            seen.add(name)
            try:
                cookie = self._cookie(value, origin, now, same_site=same_site, partition=partition or origin.host)
            except _Refused as refused:
                self.refusals.append(Refusal(name, str(refused)))
                continue
            self._put(cookie, now)

    def _cookie(self, field: bytes, origin: _Origin, now: float, *, same_site: bool, partition: str) -> Cookie:
        """Read one Set-Cookie field.

        Raises:
            _Refused: if it may not be stored.
        """
        if _FORBIDDEN.search(field):
            raise _Refused("a control character")
        pair, _, rest = field.partition(b";")
        name, separator, value = pair.partition(b"=")
        if not separator:
            name, value = b"", pair
        name, value = name.strip(_WHITESPACE), value.strip(_WHITESPACE)
        if not name and not value:
            raise _Refused("neither name nor value")
        if len(name) + len(value) > MAX_PAIR:
            raise _Refused(f"name and value are longer than {MAX_PAIR} octets")
        said = attributes(rest)
        domain = said.get("domain", "")
        if domain and "." not in domain:
            if domain != origin.host:
                raise _Refused("Domain is a public suffix")
            domain = ""
        if domain and not domain_matches(origin.host, domain):
            raise _Refused("Domain is not the host's")
        path = said.get("path", "")
        cookie = Cookie(
            name=name,
            value=value,
            domain=domain or origin.host,
            host_only=not domain,
            path=path if path.startswith("/") else default_path(origin.path),
            secure="secure" in said,
            http_only="httponly" in said,
            same_site=said.get("samesite", "default"),
            partition=partition if "partitioned" in said else None,
            expires=expiry(said, now),
            created=next(self._created),
        )
        self._check(cookie, origin, same_site=same_site, explicit_path=path.startswith("/"))
        return cookie

    def _check(self, cookie: Cookie, origin: _Origin, *, same_site: bool, explicit_path: bool) -> None:
        """Hold a cookie against the rules on its flags.

        Raises:
            _Refused: if it breaks one.
        """
        if cookie.secure and not origin.secure:
            raise _Refused("Secure over an insecure connection")
        if not cookie.secure and not origin.secure and self._hides_secure(cookie):
            raise _Refused("a Secure cookie of that name is there")
        if cookie.same_site != "none" and not same_site:
            raise _Refused("SameSite from another site")
        if cookie.same_site == "none" and not cookie.secure:
            raise _Refused("SameSite=None without Secure")
        if cookie.partition is not None and not cookie.secure:
            raise _Refused("Partitioned without Secure")
        if not cookie.name and cookie.value.lower().startswith(_PREFIXES):
            raise _Refused("a prefix in the value of a nameless cookie")
        name = cookie.name.lower()
        if name.startswith(_PREFIXES) and not cookie.secure:
            raise _Refused("a prefixed name without Secure")
        if name.startswith(b"__host-") and not (cookie.host_only and cookie.path == "/" and explicit_path):
            raise _Refused("__Host- with a Domain, or without Path=/")
        if name.startswith((b"__http-", b"__host-http-")) and not cookie.http_only:
            raise _Refused("__Http- without HttpOnly")

    def _hides_secure(self, new: Cookie) -> bool:
        """Tell whether an insecure page would shadow a secure cookie (5.7, "leave secure cookies alone")."""
        return any(
            old.secure
            and old.name == new.name
            and (domain_matches(old.domain, new.domain) or domain_matches(new.domain, old.domain))
            and path_matches(new.path, old.path)
            for old in self._cookies.values()
        )

    def _put(self, cookie: Cookie, now: float) -> None:
        """Store a cookie, which may mean to delete one, and make room."""
        key = cookie.identity
        old = self._cookies.pop(key, None)
        if cookie.expires <= now:
            return
        self._cookies[key] = cookie if old is None else replace(cookie, created=old.created)
        self._expire(now)
        mates = [mate for mate in self._cookies.values() if mate.domain == cookie.domain]
        self._evict(mates, len(mates) - self.max_per_domain)
        if cookie.partition is not None:
            mates = [mate for mate in mates if mate.partition == cookie.partition]
            octets = sum(mate.size for mate in mates)
            number = 0
            while octets > MAX_PARTITION:
                octets -= mates[number].size
                number += 1
            self._evict(mates, number)

    def _evict(self, mates: list[Cookie], number: int) -> None:
        """Drop so many of these, the insecure before the secure, else those not used for longest."""
        for cookie in sorted(mates, key=lambda mate: mate.secure)[: max(number, 0)]:
            del self._cookies[cookie.identity]
            self.evicted.append(cookie.name)

    def _expire(self, now: float) -> None:
        for key in [key for key, cookie in self._cookies.items() if cookie.expires <= now]:
            del self._cookies[key]

    # --- sending (5.8.3) ----------------------------------------------------------------------------------------------

    def header(
        self,
        url: str,
        now: float,
        *,
        same_site: bool = True,
        top_level: bool = True,
        method: str = "GET",
        partition: str | None = None,
        crumbs: bool = False,
    ) -> list[bytes]:
        """Return the values of the Cookie fields that a request carries: none, one, or one a cookie.

        Args:
            url: where the request goes.
            now: Unix time in seconds.
            same_site: ``False`` if another site's page makes the request.
            top_level: whether it is a navigation: what a request of another site needs to carry lax cookies.
            method: of the request; lax cookies of another site's request need a safe one.
            partition: the site at the top; by default the URL's host.
            crumbs: one field a cookie, as HTTP/2 allows, instead of one for all.
        """
        self._expire(now)
        origin = self._origin(url)
        kinds = {"strict", "lax", "default", "none"}
        if not same_site:
            kinds = {"lax", "default", "none"} if top_level and method in _SAFE_METHODS else {"none"}
        found = [
            cookie
            for cookie in self._cookies.values()
            if (origin.host == cookie.domain if cookie.host_only else domain_matches(origin.host, cookie.domain))
            and path_matches(origin.path, cookie.path)
            and (origin.secure or not cookie.secure)
            and cookie.same_site in kinds
            and cookie.partition in {None, partition or origin.host}
        ]
        for cookie in found:  # used just now: last to make room
            self._cookies[cookie.identity] = self._cookies.pop(cookie.identity)
        found.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        pairs = [cookie.name + b"=" + cookie.value if cookie.name else cookie.value for cookie in found]
        return pairs if crumbs or not pairs else [b"; ".join(pairs)]

    def _origin(self, url: str) -> _Origin:
        parts = urlsplit(url)
        host = parts.hostname or ""
        secure = parts.scheme in _SECURE_SCHEMES or (self.trust_loopback and is_loopback(host))
        return _Origin(host, parts.path or "/", secure)
