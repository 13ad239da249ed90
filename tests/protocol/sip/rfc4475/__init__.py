"""The torture messages of RFC 4475 as data: what is sent, and what must happen. Also the corpus of the fuzzer."""

from __future__ import annotations

from tests.protocol.sip.rfc4475.case import Case, Parsed, Refused
from tests.protocol.sip.rfc4475.invalid import INVALID
from tests.protocol.sip.rfc4475.layers import LAYERS
from tests.protocol.sip.rfc4475.valid import VALID

TORTURE: tuple[Case, ...] = (*VALID, *INVALID, *LAYERS)

__all__ = ["TORTURE", "Case", "Parsed", "Refused"]
