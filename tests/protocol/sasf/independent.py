"""A reader of SASF written from docs/sasf.md alone, to prove that a stranger could. It knows nothing of mediaserverd.

``python tests/protocol/sasf/independent.py FILE [PRIVATE-KEY.pem]`` prints what is in a file. Keys are unwrapped by
RFC 9180 and RFC 8017 themselves (no HPKE library). It reads from the first byte on and stops at the first chunk that
does not hold.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MAGIC = bytes.fromhex("534153460d0a1a0a")
RECORDS, CHECKPOINT, INDEX, SEAL = 1, 2, 3, 4
PrivateKey = X25519PrivateKey | RSAPrivateKey


class NotSasf(Exception):
    pass


class Broken(Exception):
    pass


class Packet(NamedTuple):
    side: int
    at: int
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool


class Other(NamedTuple):
    kind: int
    side: int
    at: int
    octets: bytes


@dataclass
class Recording:
    header: dict[str, Any]
    records: list[Packet | Other] = field(default_factory=list)
    chunks: list[tuple[int, int, int, int, int]] = field(default_factory=list)  # type, number, time, offset, records
    index: list[tuple[int, int, int]] = field(default_factory=list)
    seal: dict[str, Any] | None = None
    faults: list[str] = field(default_factory=list)
    decrypted: bool = False

    @property
    def packets(self) -> list[Packet]:
        return [each for each in self.records if isinstance(each, Packet)]

    @property
    def others(self) -> list[Other]:
        return [each for each in self.records if isinstance(each, Other)]


# --- section 1: prologue, header, signature -------------------------------------------------------------------------


def read(data: bytes, keys: list[PrivateKey]) -> Recording:
    if len(data) < 24 or data[:8] != MAGIC:
        raise NotSasf("not a SASF file")
    major, _, _, header_length, keybox_length, _ = struct.unpack("<BBHIII", data[8:24])
    if major != 1 or max(header_length, keybox_length) > 65536:
        raise NotSasf("another version, or lengths beyond the limits")
    head_end = 24 + header_length
    start = head_end + 64 + keybox_length
    if start > len(data):
        raise NotSasf("torn before its first chunk")
    try:
        header = json.loads(data[24:head_end])
        keybox = json.loads(data[head_end + 64 : start])
    except ValueError as fault:
        raise NotSasf("broken JSON") from fault
    found = Recording(header)
    h = hashlib.sha256(data[:head_end]).digest()
    signer = Ed25519PublicKey.from_public_bytes(base64.b64decode(header["signer"]))
    if not signed(signer, data[head_end : head_end + 64], b"SASF header" + h):
        found.faults.append("header tampered with")
    file_key = None
    if header["suite"] == "aes-256-gcm":
        file_key = unwrap(keybox, bytes.fromhex(header["file_id"]), header["key_check"], keys)
    found.decrypted = file_key is not None or header["suite"] == "clear"
    Chunks(data, start, h, signer, file_key, found, hashlib.sha256(data[: head_end + 64])).read()
    return found


def signed(signer: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        signer.verify(signature, text)
    except InvalidSignature:
        return False
    return True


# --- section 2: keys ------------------------------------------------------------------------------------------------


def unwrap(keybox: dict[str, Any], file_id: bytes, key_check: str, keys: list[PrivateKey]) -> bytes | None:
    info = b"SASF file key" + file_id
    for private in keys:
        der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key_id = hashlib.sha256(der).digest()[:8].hex()
        for entry in keybox["keys"]:
            if entry["key_id"] != key_id:
                continue
            wrapped = base64.b64decode(entry["wrapped"])
            if isinstance(private, RSAPrivateKey):
                file_key = private.decrypt(wrapped, OAEP(MGF1(hashes.SHA256()), hashes.SHA256(), info))
            else:
                file_key = hpke_open(private, wrapped[:32], wrapped[32:], info)
            if hashlib.sha256(b"SASF key" + file_key).digest()[:16].hex() == key_check:
                return file_key
    return None


def extract(salt: bytes, label: bytes, secret: bytes, suite: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")


def expand(key: bytes, label: bytes, info: bytes, length: int, suite: bytes) -> bytes:
    return hmac.digest(key, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\1", "sha256")[:length]


def hpke_open(private: X25519PrivateKey, enc: bytes, ciphertext: bytes, info: bytes) -> bytes:
    """RFC 9180, base mode: DHKEM(X25519, HKDF-SHA256) = 0x20, HKDF-SHA256 = 1, AES-256-GCM = 2."""
    kem, suite = b"KEM\0\x20", b"HPKE\0\x20\0\1\0\2"
    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    own = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    secret = expand(extract(b"", b"eae_prk", shared, kem), b"shared_secret", enc + own, 32, kem)
    context = b"\0" + extract(b"", b"psk_id_hash", b"", suite) + extract(b"", b"info_hash", info, suite)
    schedule = extract(secret, b"secret", b"", suite)
    key, nonce = expand(schedule, b"key", context, 32, suite), expand(schedule, b"base_nonce", context, 12, suite)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


# --- section 3: chunks ----------------------------------------------------------------------------------------------


@dataclass
class Chunks:
    data: bytes
    at: int
    h: bytes
    signer: Ed25519PublicKey
    key: bytes | None
    found: Recording
    r: Any  # the hash R, as far as it has come

    def read(self) -> None:
        expected = 0
        try:
            while self.at < len(self.data) and self.found.seal is None:
                number = self.chunk()
                if number != expected:
                    raise Broken(f"chunk {number} where {expected} was due")
                expected += 1
        except (Broken, InvalidTag) as fault:
            self.found.faults.append(f"chunk {expected} (offset {self.at}): {fault or 'tag wrong'}")
            return
        if self.found.seal is None:
            self.found.faults.append("not closed")

    def chunk(self) -> int:
        data, at = self.data, self.at
        if at + 32 > len(data):
            raise Broken("truncated")
        magic, kind, _, length, number, time = struct.unpack_from("<HBBIII", data, at)
        end = at + 32 + length
        if magic != 0xC5A5 or length > 1 << 20 or end > len(data):
            raise Broken("no chunk, or truncated")
        head, body, tag = data[at : at + 16], data[at + 16 : end - 16], data[end - 16 : end]
        sealed = kind == RECORDS and self.found.header["suite"] == "aes-256-gcm"
        if sealed and self.key is not None:
            nonce = bytes(4) + struct.pack("<Q", number)
            body = AESGCM(self.key).decrypt(nonce, body + tag, self.h + head)
        elif not sealed and hashlib.sha256(self.h + head + body).digest()[:16] != tag:
            raise Broken("tag wrong")
        if kind != RECORDS or not sealed or self.key is not None:
            self.body(kind, head, body, end)
        self.found.chunks.append((kind, number, time, at, len(self.found.records)))
        clear = self.found.header["suite"] == "clear"
        self.r.update(hashlib.sha256(self.h + head + body).digest() if clear else data[at:end])
        self.at = end
        return int(number)

    def body(self, kind: int, head: bytes, body: bytes, end: int) -> None:
        r = self.r.digest()
        if kind == RECORDS:
            read_records(body, self.found)
        elif kind == CHECKPOINT and not signed(self.signer, body, b"SASF checkpoint" + self.h + head + r):
            raise Broken("checkpoint wrong: bytes before it changed")
        elif kind == INDEX:
            self.found.index = list(struct.iter_unpack("<IIQ", body))
        elif kind == SEAL:
            said, signature = body[:-64], body[-64:]
            text = b"SASF seal" + self.h + head + r + hashlib.sha256(said).digest()
            if not signed(self.signer, signature, text):
                raise Broken("seal wrong: bytes before it changed")
            if self.data[end:] != struct.pack("<Q", self.at) + b"SASFEND\n":
                raise Broken("trailer wrong")
            self.found.seal = json.loads(said)


# --- section 4: records ---------------------------------------------------------------------------------------------


class Cursor:
    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def take(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self.body):
            raise Broken("a record ends behind its chunk")
        return self.body[self.at - count : self.at]

    def varint(self) -> int:
        value = 0
        for place in range(9):
            byte = self.take(1)[0]
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise Broken("a varint of more than 9 bytes")

    def zigzag(self) -> int:
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value // 2) - 1


def read_records(body: bytes, found: Recording) -> None:
    cursor = Cursor(body)
    sides: dict[int, dict[str, int]] = {}
    while cursor.at < len(body):
        first = cursor.take(1)[0]
        if first & 0x80 == 0:
            time, length = cursor.varint(), cursor.varint()
            found.records.append(Other(first & 63, first >> 6, time, cursor.take(length)))
            continue
        side = first >> 6 & 1
        if first & 0x20:
            payload_type, sequence, timestamp, ssrc = struct.unpack("<BHII", cursor.take(11))
            s = {"type": payload_type, "sequence": sequence, "timestamp": timestamp, "ssrc": ssrc, "step": 0}
            s |= {"arrival": cursor.varint(), "cadence": cursor.varint(), "length": cursor.varint()}
            sides[side] = s
        elif side not in sides:
            raise Broken("the first packet of a side is not full")
        else:
            s = sides[side]
            if first & 4:
                s["step"] = cursor.zigzag()
            s["sequence"] = (s["sequence"] + 1 + (cursor.zigzag() if first & 2 else 0)) % (1 << 16)
            s["timestamp"] = (s["timestamp"] + s["step"]) % (1 << 32)
            s["arrival"] += s["cadence"] + cursor.zigzag()
            if first & 8:
                s["length"] = cursor.varint()
        if not 0 <= s["arrival"] < 1 << 40:
            raise Broken("an impossible time")
        marker, payload = bool(first & 16), cursor.take(s["length"])
        found.records.append(
            Packet(side, s["arrival"], s["type"], s["sequence"], s["timestamp"], s["ssrc"], payload, marker)
        )


def main(file: str, key_file: str = "") -> None:
    key: Any = load_pem_private_key(Path(key_file).read_bytes(), None) if key_file else None
    recording = read(Path(file).read_bytes(), [key] if key else [])
    print(json.dumps(recording.header, indent=1))
    for packet in recording.packets:
        print(packet._replace(payload=packet.payload[:8]), len(packet.payload), "bytes")
    for other in recording.others:
        print(other)
    print("seal:", recording.seal, "faults:", recording.faults)


if __name__ == "__main__":
    main(*sys.argv[1:])
