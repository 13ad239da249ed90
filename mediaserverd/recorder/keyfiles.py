"""Key files: what PEM says, and files that are there in full or not at all. Not responsible for who uses which key."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mediaserverd.protocol.sasf.keys import MIN_RSA_BITS, PrivateKey, PublicKey

FILE_LIMIT_BYTES: Final = 64 << 10  # a PEM key has a few hundred; RSA with 16384 bits, sealed, has 18 KiB


class KeyFault(ValueError):
    """A key or key file cannot be used; the message says which, why, and what to do."""


def read_private(pem: bytes, password: bytes | None, named: str) -> PrivateKey:
    try:
        key = load_pem_private_key(pem, password)
    except TypeError as fault:
        told = "is protected by a password: give --password-file" if password is None else "has no password: give none"
        raise KeyFault(f"{named} {told}") from fault
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise KeyFault(f"{named} is no private key in PEM, or the password is wrong") from fault
    if isinstance(key, X25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        raise KeyFault(
            f"{named} is a {type(key).__name__}; recordings need X25519 or RSA with {MIN_RSA_BITS} bits or more"
        )
    _check_size(key.key_size, named)
    return key


def read_public(pem: bytes, named: str) -> PublicKey:
    key = _load_public(pem, named)
    if isinstance(key, X25519PublicKey):
        return key
    if not isinstance(key, RSAPublicKey):
        raise KeyFault(
            f"{named} is a {type(key).__name__}; recordings need X25519 or RSA with {MIN_RSA_BITS} bits or more"
        )
    _check_size(key.key_size, named)
    return key


def read_signer(pem: bytes, named: str) -> bytes:
    """The 32 bytes of a signer's Ed25519 public key."""
    key = _load_public(pem, named)
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFault(f"{named} is a {type(key).__name__}; recordings are signed with Ed25519")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _load_public(pem: bytes, named: str) -> object:
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise KeyFault(f"{named} is no public key in PEM") from fault


def _unfit(key: object, named: str) -> KeyFault:
    told = f"{named} is a {type(key).__name__}"
    return KeyFault(f"{told}; recordings need X25519 or RSA with {MIN_RSA_BITS} bits or more")


def _check_size(bits: int, named: str) -> None:
    if bits < MIN_RSA_BITS:
        raise KeyFault(f"{named} is an RSA key of {bits} bits; give one of {MIN_RSA_BITS} or more")


def public_pem(key: PublicKey | Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_LIMIT_BYTES)
    except OSError as fault:
        raise KeyFault(f"cannot read {path}: {fault.strerror}") from fault


def place(path: Path, content: bytes, mode: int) -> None:
    """Writes, or writes over, in full or not at all, also across a power cut."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync(path.parent)
    except OSError as fault:
        part.unlink(missing_ok=True)
        raise KeyFault(f"cannot write {path}: {fault.strerror}") from fault


def obliterate(path: Path) -> None:
    """Removes a file after writing over it: on a disk that writes in place, nothing of it is left."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        _sync(path.parent)
    except OSError as fault:
        raise KeyFault(f"cannot remove {path}: {fault.strerror}") from fault


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
