"""Which media servers an administrator has approved of: by name, the fingerprint of the certificate that was shown.

A server that shows another certificate is a new one. Kept in a file of the controller's state, whole or as before.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mediaserverd.process.role import StartFault

FILE_NAME: Final = "approved-media-servers.json"


def fingerprint_of(certificate: bytes | None) -> str:
    """Of the public key in a DER certificate, so that a renewal with the same key changes nothing."""
    if certificate is None:
        return ""
    key = x509.load_der_x509_certificate(certificate).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return f"SHA256:{digest.hexdigest()}"


class Approvals:
    """Raises StartFault when the file there is not ours."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE_NAME
        self._fingerprints: dict[str, str] = {}
        try:
            self._fingerprints = _read(self._file)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as fault:
            raise StartFault(
                f"cannot read which media servers are approved in {self._file}: {fault}; restore it, or delete it and "
                "approve them again"
            ) from fault

    def approved(self, server: str, fingerprint: str) -> bool:
        return bool(fingerprint) and self._fingerprints.get(server) == fingerprint

    def former(self, server: str) -> str:
        """The fingerprint that was approved; empty if none was."""
        return self._fingerprints.get(server, "")

    def approve(self, server: str, fingerprint: str) -> None:
        """On disk when it returns. Raises OSError; then nothing has changed."""
        known = {**self._fingerprints, server: fingerprint}
        part = self._file.with_suffix(".part")
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as stream:
            json.dump(known, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(self._file)
        self._fingerprints = known


def _read(file: Path) -> dict[str, str]:
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("no names with fingerprints")
    return found
