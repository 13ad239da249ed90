"""The file's key, wrapped for recipients: docs/sasf.md section 2.

Not responsible for where private keys are kept, nor for the password that seals them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM
from cryptography.hazmat.primitives.hpke import Suite as Hpke

from mediaserverd.protocol.sasf.faults import SasfError, json_object

PublicKey: TypeAlias = X25519PublicKey | RSAPublicKey
PrivateKey: TypeAlias = X25519PrivateKey | RSAPrivateKey

MIN_RSA_BITS: Final = 3072
MAX_KEYBOX_BYTES: Final = 65536
MAX_RECIPIENTS: Final = 64  # of 4096-bit RSA keys, about what the largest keybox holds
ROOM_BYTES: Final = 1024  # left in a new keybox: five more X25519 recipients, or one of RSA-4096

_HPKE: Final = Hpke(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_INFO: Final = b"SASF file key"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    key_id: str
    algorithm: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Keybox:
    keys: tuple[WrappedKey, ...] = ()

    @classmethod
    def parse(cls, data: bytes | memoryview, offset: int = 0) -> Keybox:
        entries = json_object(data, "the keybox", offset).get("keys")
        if not isinstance(entries, list):
            raise SasfError("the keybox has no list of keys", offset)
        try:
            return cls(tuple(_wrapped_key(entry) for entry in entries))
        except (KeyError, TypeError, ValueError) as fault:
            raise SasfError(f"the keybox has a broken key: {fault}", offset) from fault

    def encode(self, size: int = 0) -> bytes:
        """Filled up to ``size``. ValueError if there is no room for so many keys."""
        document = {"keys": [_entry(each) for each in self.keys]}
        encoded = json.dumps(document, separators=(",", ":")).encode()
        if len(encoded) > (size or MAX_KEYBOX_BYTES):
            raise ValueError(f"{len(self.keys)} wrapped keys need {len(encoded)} bytes, the keybox has {size}")
        return encoded.ljust(size)

    def with_keys(self, keys: Iterable[WrappedKey]) -> Keybox:
        """These keys added; one for the same recipient is replaced."""
        added = {each.key_id: each for each in keys}
        return Keybox((*(each for each in self.keys if each.key_id not in added), *added.values()))


def key_id(public: PublicKey) -> str:
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def load_public(pem: bytes) -> PublicKey:
    """ValueError for what is no key that a recording can be encrypted for."""
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, X25519PublicKey | RSAPublicKey):
        raise ValueError("only X25519 and RSA keys can be recipients")
    return _strong(key)


def load_private(pem: bytes, password: bytes | None = None) -> PrivateKey:
    """ValueError or TypeError (a password lacks, or is given for nothing) if it cannot be read."""
    key = serialization.load_pem_private_key(pem, password)
    if not isinstance(key, X25519PrivateKey | RSAPrivateKey):
        raise ValueError("only X25519 and RSA keys open recordings")
    return key


def wrap(key: bytes, file_id: bytes, public: PublicKey) -> WrappedKey:
    if isinstance(public, RSAPublicKey):
        _strong(public)
        return WrappedKey(key_id(public), "rsa-oaep", public.encrypt(key, _oaep(file_id)))
    return WrappedKey(key_id(public), "hpke-x25519", _HPKE.encrypt(key, public, _INFO + file_id))


def unwrap(keybox: Keybox, file_id: bytes, private_keys: Sequence[PrivateKey]) -> bytes | None:
    """The file's key, or None if it is wrapped for none of these."""
    for private in private_keys:
        ours = key_id(private.public_key())
        for wrapped in keybox.keys:
            key = _unwrap(wrapped, file_id, private) if wrapped.key_id == ours else None
            if key is not None:
                return key
    return None


def _unwrap(wrapped: WrappedKey, file_id: bytes, private: PrivateKey) -> bytes | None:
    try:
        if isinstance(private, RSAPrivateKey):
            return private.decrypt(wrapped.wrapped, _oaep(file_id)) if wrapped.algorithm == "rsa-oaep" else None
        if wrapped.algorithm == "hpke-x25519":
            return _HPKE.decrypt(wrapped.wrapped, private, _INFO + file_id)
    except (ValueError, InvalidTag):
        pass  # the right recipient, but not what was wrapped for it
    return None


def _strong(public: PublicKey) -> PublicKey:
    if isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS:
        raise ValueError(f"an RSA key of {public.key_size} bits is too weak; {MIN_RSA_BITS} or more")
    return public


def _oaep(file_id: bytes) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), _INFO + file_id)


def _entry(key: WrappedKey) -> dict[str, str]:
    return {
        "key_id": key.key_id,
        "algorithm": key.algorithm,
        "wrapped": base64.b64encode(key.wrapped).decode(),
    }


def _wrapped_key(entry: Any) -> WrappedKey:
    identity, algorithm, wrapped = entry["key_id"], entry["algorithm"], entry["wrapped"]
    if not (isinstance(identity, str) and isinstance(algorithm, str) and isinstance(wrapped, str)):
        raise ValueError("not text")
    return WrappedKey(identity, algorithm, base64.b64decode(wrapped, validate=True))
