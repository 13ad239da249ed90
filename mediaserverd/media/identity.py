"""Who this media server is: the Ed25519 key that signs its recordings, made at first start.

The private key never leaves the host, and nothing here logs it. The public key is put where a recorder on the same host
looks for servers that it trusts; for a recorder elsewhere, copy that file. Not responsible for what is signed.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mediaserverd.process.role import StartFault

MAX_KEY_FILE_BYTES: Final = 16 << 10  # a PEM key has a few hundred; RSA with 16384 bits has 12 KiB

log = structlog.get_logger()


def ensure_identity(file: Path) -> Ed25519PrivateKey:
    """The key in a file, made when absent. Raises StartFault when the file is something else."""
    if not file.exists():
        _make(file)
    return read_identity(file)


def read_identity(file: Path) -> Ed25519PrivateKey:
    advice = "put the PEM file of its Ed25519 key there, or delete it to have a new identity made"
    try:
        key = load_pem_private_key(file.read_bytes()[:MAX_KEY_FILE_BYTES], password=None)
    except OSError as fault:
        raise StartFault(f"cannot read the media server's identity {file}: {fault.strerror}; {advice}") from fault
    except (ValueError, TypeError) as fault:  # no PEM, or a key with a password
        raise StartFault(f"{file} is no private key without a password; {advice}") from fault
    if not isinstance(key, Ed25519PrivateKey):
        raise StartFault(f"{file} is not an Ed25519 key; {advice}")
    return key


def publish_identity(identity: Ed25519PublicKey, directory: Path, server_name: str) -> None:
    """Puts the public key into a directory of trusted signers. What an earlier identity signed stays trusted."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    file = directory / f"{server_name}.pem"
    wanted = identity.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if file.exists():
        known = file.read_bytes()[:MAX_KEY_FILE_BYTES]
        if _same_key(known, identity):
            return
        kept = directory / f"{server_name}-until-{secrets.token_hex(4)}.pem"
        file.rename(kept)
        log.warning("media_identity_changed", server=server_name, earlier_public_key=str(kept))
    _place(file, wanted, 0o644)


def _same_key(pem: bytes, identity: Ed25519PublicKey) -> bool:
    try:
        return load_pem_public_key(pem) == identity
    except ValueError:
        return False


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _place(file, private, 0o600)


def _place(file: Path, content: bytes, mode: int) -> None:
    """There in full or not at all, whoever else makes it at the same moment; what is there already stays."""
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(part, file)
    except FileExistsError:
        pass
    finally:
        part.unlink()
