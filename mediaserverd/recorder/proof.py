"""What a whole recording proves: one verdict and one sentence over all its segments and the gaps between them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mediaserverd.protocol.sasf.manifest import Gap
from mediaserverd.recorder.states import SegmentState, Verification

_WORST_FIRST = (Verification.FAILED, Verification.UNREAD, Verification.NONE, Verification.VERIFIED)


def proof(segments: Sequence[Mapping[str, Any]], gaps: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Rows of the catalogue. The verdict is that of the worst segment: a chain proves no more than its weakest link."""
    stored = [segment for segment in segments if segment["state"] == SegmentState.STORED]
    if not stored:
        return "", "nothing of it is stored, so nothing is proven"
    found = {segment["verification"] for segment in stored}
    verdict = next(each for each in _WORST_FIRST if each in found)
    if len(segments) == 1 and not gaps:
        return verdict, _sentence(stored[0])
    told = [f"segment {segment['number']} {_sentence(segment)}" for segment in stored]
    told += [
        f"segment {segment['number']} is not there ({segment['state']}: {segment['reason']})"
        for segment in segments
        if segment["state"] not in (SegmentState.STORED, SegmentState.DISCARDED)
    ]
    told += [str(Gap(**gap)) for gap in gaps]
    return verdict, "; ".join(told)


def _sentence(segment: Mapping[str, Any]) -> str:
    findings = segment["verification_findings"] or ()
    match segment["verification"]:
        case Verification.NONE:
            return f"is a {segment['format']} file, which proves nothing"
        case Verification.FAILED:
            return f"does not prove what it should: {findings[0] if findings else 'it could not be read'}"
    return str(findings[0]) if findings else "was verified"
