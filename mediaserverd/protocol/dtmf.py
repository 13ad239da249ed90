"""The digit in a SIP INFO: ``application/dtmf-relay`` (``Signal=5``) and ``application/dtmf`` (``5``).

No standard says what these bodies are; this is what phones and gateways send. Not responsible for digits in RTP.
"""

from __future__ import annotations

import re
from typing import Final

DIGITS: Final = frozenset("0123456789*#ABCD")
_SIGNAL: Final = re.compile(rb"^[ \t]*signal[ \t]*=[ \t]*([0-9A-D*#]{1,2})[ \t]*$", re.IGNORECASE | re.MULTILINE)
_EVENT_CODES: Final = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}  # RFC 4733 3.2, sent by some


def digit_of(content_type: str, body: bytes) -> str:
    """Empty if there is none: another type, or something that is no digit (16 is the hook)."""
    match content_type.partition(";")[0].strip().lower():
        case "application/dtmf-relay":
            found = _SIGNAL.search(body.replace(b"\r", b""))
            text = found[1].decode("ascii").upper() if found else ""
        case "application/dtmf":
            text = body[:8].strip().decode("ascii", "replace").upper()
        case _:
            return ""
    text = _EVENT_CODES.get(text, text)
    return text if text in DIGITS else ""
