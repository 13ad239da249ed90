"""Invitations: what another host needs to be part of the site, in one file that is sealed with a code.

The file has the site's authority, a certificate for that host with its private key, and public keys of the recorder. It
opens with the code alone, so that the two can go different ways. Not responsible for where its parts are put.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mediaserverd.process.role import StartFault

HEADING: Final = "mediaserverd invitation 1"
CODE_BYTES: Final = 15  # 120 random bits: nobody tries them all, so no slow derivation is needed
GROUP: Final = 4
MAX_FILE_BYTES: Final = 1 << 20
_NONCE_BYTES: Final = 12
_PURPOSE: Final = HEADING.encode()


@dataclass(frozen=True, slots=True)
class Invitation:
    """PEM texts. ``recipients``: for whom recordings are encrypted, by file name."""

    name: str
    address: str
    roles: tuple[str, ...]
    authority: str
    certificate: str
    private_key: str
    recipients: dict[str, str]


def new_code() -> str:
    """Letters and digits in groups, to be read aloud."""
    text = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode()
    return "-".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))


def sealed(invitation: Invitation, code: str) -> str:
    """The text of the file."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    data = AESGCM(_key(code)).encrypt(nonce, json.dumps(asdict(invitation)).encode(), _PURPOSE)
    return f"{HEADING}\n{base64.encodebytes(nonce + data).decode()}"


def opened(text: str, code: str) -> Invitation:
    """Raises StartFault for a wrong code, and for anything but an invitation."""
    heading, _, body = text.partition("\n")
    if heading.strip() != HEADING:
        raise StartFault("this file is no invitation; `mediaserverd site invite` makes one")
    try:
        data = base64.b64decode(body)
        content = json.loads(AESGCM(_key(code)).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _PURPOSE))
        return Invitation(**{**content, "roles": tuple(content["roles"])})
    except InvalidTag:
        raise StartFault(
            "the code is not the one of this invitation, or the file was changed on its way; `mediaserverd site "
            "invite` showed the code"
        ) from None
    except (ValueError, TypeError, KeyError) as fault:
        raise StartFault(f"this invitation cannot be read: {fault}; let a new one be made") from fault


def _key(code: str) -> bytes:
    plain = "".join(code.upper().split()).replace("-", "")
    return HKDF(SHA256(), 32, None, _PURPOSE).derive(plain.encode())
