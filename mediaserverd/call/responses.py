"""Which SIP status the caller gets when the called side gave several, or one that must not cross a B2BUA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PHRASES: Final = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
}

# RFC 3261 16.7 step 6: within 4xx, those tell the caller what to do better.
_PREFERRED: Final = (415, 420, 484)


def mapped(status: int, phrase: str) -> tuple[int, str]:
    """What one leg's final response becomes on the other.

    - 3xx: we do not redirect; for the caller the phone cannot be reached.
    - 401, 407: the challenge was for us; the caller could not answer it.
    - 487: we did not cancel; some proxy behind the leg gave up.
    - 503: would make the caller's side avoid this whole server (RFC 3261 16.7 step 6).
    """
    if 300 <= status < 400 or status == 487:
        return 480, PHRASES[480]
    if status in (401, 407):
        return 403, PHRASES[403]
    if status == 503:
        return 500, PHRASES[500]
    return status, phrase or PHRASES.get(status, "Refused")


def best(refusals: Iterable[tuple[int, str]]) -> tuple[int, str]:
    """The one for the caller when every branch refused: 6xx before all, then the lowest class (RFC 3261 16.7)."""
    found = [mapped(status, phrase) for status, phrase in refusals]
    return min(found, key=lambda each: _rank(each[0]), default=(480, PHRASES[480]))


def _rank(status: int) -> tuple[int, int]:
    status_class = status // 100
    first = 0 if status_class == 6 else status_class
    return first, 0 if status in _PREFERRED else 2 if status in (408, 480) else 1
