"""The keys of this recorder: private ones that open recordings, public ones that recordings are encrypted for.

    keys/private/<key id>.json            sealed with the vault's password
    $CREDENTIALS_DIRECTORY/*.key.pem      given by systemd
    keys/recipients/<key id>.pem          public: ours, what media servers encrypt new recordings for
    keys/recipients/escrow-<key id>.pem   public: of others who can open them as well
    keys/signers/*.pem                    public: media servers (and this recorder) whose signature is believed

Everything is looked up when it is needed, so what the command line changes holds at once, without a reload. A key is
unsealed at its first use (0.1 s) and then kept in memory. Not responsible for which recording has which key.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from pydantic import ValidationError

from mediaserverd.process.role import StartFault
from mediaserverd.protocol.sasf.keys import Keybox, PrivateKey, PublicKey, key_id, unwrap
from mediaserverd.recorder.keyfiles import (
    KeyFault,
    obliterate,
    place,
    public_pem,
    read_file,
    read_private,
    read_public,
    read_signer,
)
from mediaserverd.recorder.sealed import Algorithm, Cost, SealedKey, WrongPassword, seal, unseal

log = structlog.get_logger()

PASSWORD_NAME: Final = "vault.password"  # noqa: S105 - the name of a file
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"  # systemd.exec(5)
SIGNER_NAME: Final = "recorder"  # of the key that signs what this recorder writes itself
ESCROW: Final = "escrow-"
_UNKNOWN = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    key_id: str
    algorithm: Algorithm
    created_at: datetime | None  # None: it does not say
    where: str  # "vault", "systemd", or "elsewhere": only its public half is here
    recipient: bool  # new recordings are encrypted for it

    @property
    def escrow(self) -> bool:
        return self.recipient and self.where == "elsewhere"


class Vault:
    def __init__(self, directory: Path, password: bytes, credentials: Path | None = None, cost: Cost | None = None):
        self._private = directory / "private"
        self._recipients = directory / "recipients"
        self._signers = directory / "signers"
        self._credentials = credentials
        self._password = password
        self._cost = cost
        self._unsealed: dict[str, PrivateKey] = {}
        self._signer: Ed25519PrivateKey | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, directory: Path, password_file: Path | None, cost: Cost | None = None) -> Vault:
        """Makes what a first start lacks: directories, a password, a key and a signing key. Raises StartFault."""
        try:
            for name, mode in (("private", 0o700), ("recipients", 0o755), ("signers", 0o755)):
                (directory / name).mkdir(mode=mode, parents=True, exist_ok=True)
            credentials = Path(os.environ[CREDENTIALS]) if CREDENTIALS in os.environ else None
            vault = cls(directory, _password(directory, password_file, credentials), credentials, cost)
            vault.ensure_recipient()
            vault.ensure_signer()
        except OSError as fault:
            raise StartFault(f"cannot use the keys below {directory}: {fault.strerror}; change its owner") from fault
        except KeyFault as fault:
            raise StartFault(str(fault)) from fault
        return vault

    def check(self) -> None:
        """Whether the password opens what is sealed with it. Raises StartFault."""
        try:
            self.signer()
        except KeyFault as fault:
            raise StartFault(str(fault)) from fault

    # -- what opens recordings -----------------------------------------------------------------------------------------

    def private_key(self, wanted: str) -> PrivateKey | None:
        """None when it is not here (any more). May take 0.1 s: call it from a thread. Raises KeyFault."""
        with self._lock:
            path = self._path(wanted)
            if not path.exists():
                self._unsealed.pop(wanted, None)
                return self._from_systemd().get(wanted)
            if wanted not in self._unsealed:
                self._unsealed[wanted] = self._open(_read_sealed(path))
            return self._unsealed[wanted]

    def unlock(self, keybox: Keybox, file_id: bytes) -> bytes | None:
        """The key of a file, if one of those that open it is here. Raises KeyFault."""
        here = [key for wrapped in keybox.keys if (key := self.private_key(wrapped.key_id)) is not None]
        return unwrap(keybox, file_id, here) if here else None

    def opening(self) -> frozenset[str]:
        """The ids of the private keys that are here."""
        return frozenset(key.key_id for key in self.listed() if key.where != "elsewhere")

    def listed(self) -> list[KeyInfo]:
        """All that are known here, oldest first."""
        recipients = self.recipients()
        found = {
            sealed.key_id: KeyInfo(
                sealed.key_id, sealed.algorithm, sealed.created_at, "vault", sealed.key_id in recipients
            )
            for sealed in self._sealed()
        }
        for name, key in self._from_systemd().items():
            found.setdefault(name, KeyInfo(name, _algorithm(key), None, "systemd", name in recipients))
        for name, public in recipients.items():
            found.setdefault(name, KeyInfo(name, _algorithm(public), None, "elsewhere", True))
        return sorted(found.values(), key=lambda key: (key.created_at or _UNKNOWN, key.key_id))

    def _sealed(self) -> Iterator[SealedKey]:
        """A file that is none is told, and opens nothing: the other keys are still there."""
        for path in self._private.glob("*.json"):
            try:
                sealed = _read_sealed(path)
            except KeyFault as fault:
                log.error("key_refused", fault=str(fault))
                continue
            if sealed.algorithm != "ed25519":
                yield sealed

    def _open(self, sealed: SealedKey) -> PrivateKey:
        key = load_der_private_key(self._unseal(sealed), None)
        if not isinstance(key, X25519PrivateKey | RSAPrivateKey):
            raise KeyFault(f"the key {sealed.key_id} signs; it opens nothing")
        return key

    def _unseal(self, sealed: SealedKey) -> bytes:
        try:
            return unseal(sealed, self._password)
        except WrongPassword as fault:
            raise KeyFault(
                f"the vault's password does not open {self._path(sealed.key_id)}, or that file was changed; "
                f"restore the password ({PASSWORD_NAME}) or the file"
            ) from fault

    def _path(self, wanted: str) -> Path:
        return self._private / f"{wanted}.json"

    def _from_systemd(self) -> dict[str, PrivateKey]:
        if self._credentials is None:
            return {}
        keys = [read_private(read_file(path), None, str(path)) for path in sorted(self._credentials.glob("*.key.pem"))]
        return {key_id(key.public_key()): key for key in keys}

    # -- changes -------------------------------------------------------------------------------------------------------

    def ensure_recipient(self) -> None:
        """A first start: recordings have somebody to be encrypted for, who can open them here."""
        if any(key.recipient and not key.escrow for key in self.listed()):
            return
        given = self._from_systemd()
        self.use(next(iter(given), "") or self.generate())

    def generate(self) -> str:
        """A new key pair; nothing is encrypted for it until ``use``. Returns its id."""
        return self.keep(X25519PrivateKey.generate())

    def keep(self, key: PrivateKey) -> str:
        """Seals a private key into the vault. Returns its id."""
        return self._keep(key, key_id(key.public_key()), _algorithm(key))

    def use(self, wanted: str) -> None:
        """New recordings are encrypted for this key of ours, and no longer for the others of ours; escrow stays."""
        key = self.private_key(wanted)
        if key is None:
            raise KeyFault(f"there is no private key {wanted} here; `mediaserverd keys list` shows those there are")
        place(self._recipients / f"{wanted}.pem", public_pem(key.public_key()), 0o644)
        for path in self._recipients.glob("*.pem"):
            if not path.name.startswith(ESCROW) and path.stem != wanted:
                path.unlink()
        log.info("recipient_changed", key_id=wanted)

    def add_escrow(self, key: PublicKey) -> str:
        """New recordings can also be opened by the holder of this key's private half. Returns its id."""
        wanted = key_id(key)
        place(self._recipients / f"{ESCROW}{wanted}.pem", public_pem(key), 0o644)
        return wanted

    def remove_escrow(self, wanted: str) -> bool:
        """For new recordings; those that there are keep it. Whether it was there."""
        path = self._recipients / f"{ESCROW}{wanted}.pem"
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    def destroy(self, wanted: str) -> None:
        """What only this key opens can never be read again. Raises KeyFault."""
        known = {key.key_id: key for key in self.listed()}
        if wanted not in known or known[wanted].where == "elsewhere":
            raise KeyFault(f"there is no private key {wanted} here; `mediaserverd keys list` shows those there are")
        if known[wanted].where == "systemd":
            raise KeyFault(f"systemd gives the key {wanted} to the recorder; remove it where systemd has it from")
        if known[wanted].recipient:
            raise KeyFault(f"new recordings are encrypted for the key {wanted}; `mediaserverd keys rotate` first")
        with self._lock:
            self._unsealed.pop(wanted, None)
            obliterate(self._path(wanted))

    # -- who is encrypted for, who is believed -------------------------------------------------------------------------

    def recipients(self) -> dict[str, PublicKey]:
        keys = [read_public(read_file(path), str(path)) for path in _pem_files(self._recipients)]
        return {key_id(key): key for key in keys}

    def trusted_signers(self) -> frozenset[bytes]:
        """A file there that is no such key is told, and is nobody."""
        found = set()
        for path in _pem_files(self._signers):
            try:
                found.add(read_signer(read_file(path), str(path)))
            except KeyFault as fault:
                log.error("signer_refused", fault=str(fault))
        return frozenset(found)

    def signer_file(self, server: str) -> Path:
        """Where the public key of a media server lies that is believed."""
        return self._signers / f"{server}.pem"

    def ensure_signer(self) -> None:
        """A key that signs what this recorder writes itself, and that is trusted here."""
        if self._path(SIGNER_NAME).exists():
            return
        key = Ed25519PrivateKey.generate()
        place(self._signers / f"{SIGNER_NAME}.pem", public_pem(key.public_key()), 0o644)
        self._keep(key, SIGNER_NAME, "ed25519")

    def signer(self) -> Ed25519PrivateKey:
        """May take 0.1 s at its first call. Raises KeyFault."""
        with self._lock:
            if self._signer is None:
                path = self._path(SIGNER_NAME)
                key = load_der_private_key(self._unseal(_read_sealed(path)), None)
                if not isinstance(key, Ed25519PrivateKey):
                    raise KeyFault(f"{path} is no signing key; restore it")
                self._signer = key
            return self._signer

    def _keep(self, key: PrivateKey | Ed25519PrivateKey, name: str, algorithm: Algorithm) -> str:
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        sealed = seal(name, algorithm, private, public, self._password, self._cost)
        place(self._path(name), sealed.model_dump_json(indent=1).encode() + b"\n", 0o600)
        return name


def _password(directory: Path, given: Path | None, credentials: Path | None) -> bytes:
    """From systemd, from the file that the configuration names, or from one that is made at first start."""
    path = given or directory.parent / "secrets" / PASSWORD_NAME
    if credentials is not None and (credentials / PASSWORD_NAME).exists():
        path = credentials / PASSWORD_NAME
    elif given is None and not path.exists():
        if next((directory / "private").glob("*.json"), None) is not None:
            raise StartFault(f"{path} is gone, and the keys in {directory}/private are sealed with it; restore it")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place(path, secrets.token_urlsafe(32).encode() + b"\n", 0o600)
    password = read_file(path).strip()
    if not password:
        raise StartFault(f"{path} is empty; put the vault's password into it")
    return password


def _read_sealed(path: Path) -> SealedKey:
    try:
        return SealedKey.model_validate_json(read_file(path))
    except ValidationError as fault:
        raise KeyFault(f"{path} is no sealed key: {fault.errors()[0]['msg']}; restore it") from fault


def _pem_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.pem") if not path.name.startswith("."))


def _algorithm(key: PrivateKey | PublicKey) -> Algorithm:
    return "x25519" if isinstance(key, X25519PrivateKey | X25519PublicKey) else "rsa"
