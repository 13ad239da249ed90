"""Which bytes of a file a request asks for (RFC 9110 sections 13 and 14). Pure.

Several ranges in one request are not served: the whole file is, as section 14.2 allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"^bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})$", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` up to but without ``end``."""

    start: int
    end: int


class Unsatisfiable(Exception):
    """The range lies outside of the file."""


def requested_span(range_field: str | None, if_range: str | None, etag: str, size: int) -> Span | None:
    """The part asked for; None for the whole file. Raises Unsatisfiable."""
    if range_field is None or (if_range is not None and if_range.strip() != etag):
        return None
    match = _ONE_RANGE.match(range_field.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    elif last and int(last) < int(first):
        return None  # not a valid range, so the field is ignored
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= end:
        raise Unsatisfiable
    return Span(start, end)


def is_from_the_start(range_field: str | None) -> bool:
    """Whether all is wanted. Players ask so, and then read no more than they play."""
    match = _ONE_RANGE.match(range_field.strip()) if range_field is not None else None
    return range_field is None or (match is not None and match[1].strip("0") == "" != match[1] and not match[2])


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this very content already."""
    if if_none_match is None:
        return False
    given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in given or given == ["*"]
