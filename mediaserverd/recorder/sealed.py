"""A private key at rest: sealed with a password (Argon2id, then AES-256-GCM), together with what opens it again.

The parameters stand in the file, so that they can grow with the machines and old files still open. Everything in the
file but the sealed bytes themselves is authenticated with them. Not responsible for where files lie (``vault``).
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Final, Literal

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12  # random: a key is derived anew, with a salt of its own, for each file
MEMORY_LIMIT_KIB: Final = 1 << 20  # a file that asks for more than 1 GiB wants to end us, not to be opened

Algorithm = Literal["x25519", "rsa", "ed25519"]


class Cost(BaseModel):
    """Of one guess at the password. The default is the second choice of RFC 9106 section 4: 64 MiB, about 0.1 s."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: int = Field(3, ge=1, le=64)
    memory_kib: int = Field(64 << 10, ge=8, le=MEMORY_LIMIT_KIB)
    lanes: int = Field(4, ge=1, le=64)


DEFAULT_COST: Final = Cost()


class WrongPassword(Exception):
    """The password does not open the file, or the file was changed: the tag cannot tell which."""


class SealedKey(BaseModel):
    """The file. ``private`` is the sealed PKCS #8 DER, ``public`` the SubjectPublicKeyInfo DER in the clear."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    version: Literal[1] = 1
    key_id: str = Field(pattern="^[0-9a-z]{1,32}$")
    algorithm: Algorithm
    created_at: AwareDatetime
    public: bytes
    kdf: Literal["argon2id"] = "argon2id"
    cost: Cost
    salt: bytes
    cipher: Literal["aes-256-gcm"] = "aes-256-gcm"
    nonce: bytes
    private: bytes


def seal(
    key_id: str, algorithm: Algorithm, private: bytes, public: bytes, password: bytes, cost: Cost | None = None
) -> SealedKey:
    empty = SealedKey(
        key_id=key_id,
        algorithm=algorithm,
        created_at=datetime.now(UTC).replace(microsecond=0),
        public=public,
        cost=cost or DEFAULT_COST,
        salt=secrets.token_bytes(SALT_BYTES),
        nonce=secrets.token_bytes(NONCE_BYTES),
        private=b"",
    )
    sealed = AESGCM(_derive(empty, password)).encrypt(empty.nonce, private, _authenticated(empty))
    return empty.model_copy(update={"private": sealed})


def unseal(sealed: SealedKey, password: bytes) -> bytes:
    """The private key as PKCS #8 DER. Raises WrongPassword."""
    try:
        return AESGCM(_derive(sealed, password)).decrypt(sealed.nonce, sealed.private, _authenticated(sealed))
    except (InvalidTag, ValueError) as fault:
        raise WrongPassword from fault


def _derive(sealed: SealedKey, password: bytes) -> bytes:
    return hash_secret_raw(
        password,
        sealed.salt,
        time_cost=sealed.cost.time,
        memory_cost=sealed.cost.memory_kib,
        parallelism=sealed.cost.lanes,
        hash_len=32,
        type=Type.ID,
    )


def _authenticated(sealed: SealedKey) -> bytes:
    facts = sealed.model_dump(exclude={"private"}, mode="json")
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
