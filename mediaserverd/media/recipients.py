"""For whom recordings are encrypted: the public keys in a directory. What they open, this server cannot read back.

Responsible for reading them, and for noticing that the directory changed: keys can be added and rotated while the
server runs. Files named by the id of their key are the recorder's, which may exchange them; others are the
administrator's. Not responsible for wrapping a recording's key for them (``protocol.sasf.keys``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mediaserverd.process.role import StartFault
from mediaserverd.protocol.sasf.keys import MIN_RSA_BITS, PublicKey, key_id

MAX_RECIPIENTS: Final = 32  # a keybox holds 64 KiB, and each of them costs the start of every recording time
MAX_KEY_FILE_BYTES: Final = 16 << 10

_GIVEN: Final = re.compile(r"[0-9a-f]{16}\.pem")

_Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]  # name, inode, size, time of change: of every key file

log = structlog.get_logger()


class Recipients:
    """``current`` follows the directory. A faulty file there is told once, and the keys of before stay in use."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stamp: _Stamp | None = None
        self._refused: _Stamp | None = None
        self._keys: tuple[PublicKey, ...] = ()

    def load(self) -> None:
        """Reads all files now. Raises StartFault if one is no key that recordings can be encrypted for."""
        self._take(_stamp(self.directory))

    def current(self) -> tuple[PublicKey, ...]:
        """Those of now. May wait for the disk: call it from a thread."""
        try:
            stamp = _stamp(self.directory)
            if stamp not in (self._stamp, self._refused):
                self._refused = stamp
                self._take(stamp)
        except StartFault as fault:
            log.error("recipients_refused", fault=str(fault), recipients_kept=len(self._keys))
        return self._keys

    @property
    def given(self) -> list[str]:
        """Ids of the recorder's keys, as of the last look."""
        return [Path(name).stem for name, *_ in self._stamp or () if _GIVEN.fullmatch(name)]

    def replace_given(self, keys: Sequence[bytes]) -> None:
        """The recorder's, instead of those before. Raises StartFault; then nothing has changed."""
        known = {f"{key_id(key)}.pem": key for key in map(_public, keys)}
        if not known or len(known) > MAX_RECIPIENTS:
            raise StartFault(f"give 1 to {MAX_RECIPIENTS} keys")
        try:
            self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            for name, key in known.items():
                part = self.directory / f".{name}.part"
                part.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
                part.rename(self.directory / name)
            for file in self.directory.iterdir():
                if _GIVEN.fullmatch(file.name) and file.name not in known:
                    file.unlink()
        except OSError as fault:
            raise StartFault(f"cannot write to {self.directory}: {fault.strerror}") from fault
        self.load()

    @property
    def known(self) -> tuple[PublicKey, ...]:
        """Those of the last look."""
        return self._keys

    def _take(self, stamp: _Stamp) -> None:
        if len(stamp) > MAX_RECIPIENTS:
            raise StartFault(f"more than {MAX_RECIPIENTS} recipients' keys in {self.directory}; remove some")
        keys = [_read(self.directory / name) for name, *_ in stamp]
        self._keys = tuple({key_id(key): key for key in keys}.values())
        self._stamp, self._refused = stamp, None
        log.info("recipients_read", count=len(self._keys), files=[name for name, *_ in stamp])


def _stamp(directory: Path) -> _Stamp:
    found = []
    try:
        for file in directory.iterdir() if directory.is_dir() else ():
            if file.suffix == ".pem" and not file.name.startswith("."):
                status = file.stat()
                found.append((file.name, status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError as fault:
        raise StartFault(f"cannot read the recipients' keys in {directory}: {fault}") from fault
    return tuple(sorted(found))


def _read(file: Path) -> PublicKey:
    try:
        return _public(file.read_bytes()[:MAX_KEY_FILE_BYTES], str(file))
    except OSError as fault:
        raise StartFault(f"cannot read the recipient's key {file}: {fault.strerror}") from fault


def _public(pem: bytes, file: str = "one of them") -> PublicKey:
    advice = "give the PEM file of an X25519 or RSA public key, or remove it"
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise StartFault(f"{file} is no public key; {advice}") from fault
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise StartFault(f"{file} is an RSA key of {key.key_size} bits; give one of {MIN_RSA_BITS} or more")
    if not isinstance(key, X25519PublicKey | RSAPublicKey):
        raise StartFault(f"{file} is a {type(key).__name__}; {advice}")
    return key
