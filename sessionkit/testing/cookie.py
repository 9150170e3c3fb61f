"""A cookie as browsers see it: attributes, dates, and which hosts and paths it goes to (RFC 6265bis 5.1, 5.6)."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Cookie", "attributes", "default_path", "domain_matches", "expiry", "is_loopback", "path_matches"]

MAX_ATTRIBUTE = 1024
"""Octets of one attribute's value; a longer attribute is ignored (5.6)."""

MAX_AGE = 400 * 86_400
"""Seconds that a cookie may live at most (5.5)."""

_WHITESPACE = b" \t"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Cookie dates are found, not parsed (5.1.1): any order of these four among delimiters.
_DELIMITER = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)")
_DAY = re.compile(r"(\d{1,2})(?!\d)")
_YEAR = re.compile(r"(\d{2,4})(?!\d)")


@dataclass(frozen=True, slots=True)
class Cookie:
    """A stored cookie.

    Attributes:
        name: octets before the first equals sign.
        value: octets after it.
        domain: the host that set it, or the domain it named.
        host_only: whether no other host gets it.
        path: it goes to this path and what lies below.
        secure: whether it goes over secure connections only.
        http_only: whether scripts cannot see it.
        same_site: ``"strict"``, ``"lax"``, ``"none"``, or ``"default"``, which is treated as lax.
        partition: the site at the top it is bound to, or ``None``.
        expires: Unix time in seconds; infinite for a cookie that ends with the browser's session.
        created: a number that grows with each new cookie.
    """

    name: bytes
    value: bytes
    domain: str
    host_only: bool
    path: str
    secure: bool
    http_only: bool
    same_site: str
    partition: str | None
    expires: float
    created: int

    def __repr__(self) -> str:
        """Show everything but the value."""
        return f"<Cookie {self.name!r} of {self.domain}{self.path}, {len(self.value)} octets>"

    @property
    def identity(self) -> tuple[bytes, str, bool, str, str | None]:
        """What makes two cookies the same one."""
        return self.name, self.domain, self.host_only, self.path, self.partition

    @property
    def size(self) -> int:
        """Octets of name and value."""
        return len(self.name) + len(self.value)


def attributes(rest: bytes) -> dict[str, str]:
    """Read the attributes; the last of a name counts, one whose value makes no sense does not."""
    found: dict[str, str] = {}
    for part in rest.split(b";"):
        raw_name, _, raw = part.partition(b"=")
        name = raw_name.strip(_WHITESPACE).decode("latin-1").lower()
        value = raw.strip(_WHITESPACE).decode("latin-1")
        if len(value) > MAX_ATTRIBUTE:
            continue
        match name:
            case "domain":
                value = value.removeprefix(".").lower()
            case "samesite":
                value = value.lower() if value.lower() in {"strict", "lax", "none"} else "default"
            case "max-age" if not re.fullmatch(r"-?[0-9]+", value):
                continue
            case "expires" if _date(value) is None:
                continue
            case _:
                pass
        found[name] = value
    return found


def expiry(said: dict[str, str], now: float) -> float:
    """Return when the cookie ends; Max-Age goes before Expires."""
    if (max_age := said.get("max-age")) is not None:
        seconds = int(max_age)
        return now + min(seconds, MAX_AGE) if seconds > 0 else -math.inf
    date = _date(said["expires"]) if "expires" in said else None
    return math.inf if date is None else min(date, now + MAX_AGE)


def _date(text: str) -> float | None:
    """Read a cookie date (5.1.1) as Unix seconds, or ``None``."""
    time = day = month = year = None
    for word in _DELIMITER.split(text):
        if time is None and (match := _TIME.match(word)):
            time = tuple(map(int, match.groups()))
        elif day is None and (match := _DAY.match(word)):
            day = int(match[1])
        elif month is None and word[:3].capitalize() in _MONTHS:
            month = _MONTHS.index(word[:3].capitalize()) + 1
        elif year is None and (match := _YEAR.match(word)):
            year = int(match[1])
    if time is None or day is None or month is None or year is None:
        return None
    if year < 100:  # noqa: PLR2004 - two digits: 70 to 99 are the last century's
        year += 1900 if year >= 70 else 2000  # noqa: PLR2004 - as above
    hour, minute, second = time
    if year < 1601:  # noqa: PLR2004 - before the Gregorian calendar's first full cycle
        return None
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def domain_matches(host: str, domain: str) -> bool:
    """Tell whether a host is a domain or lies below it (5.1.3)."""
    return host == domain or (host.endswith("." + domain) and not _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if _is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def default_path(path: str) -> str:
    """Return the folder of a path (5.1.4)."""
    return path[: path.rfind("/")] or "/"


def path_matches(path: str, cookie_path: str) -> bool:
    """Tell whether a request's path is a cookie's path or lies below it (5.1.4)."""
    return path == cookie_path or (
        path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
    )
