"""Several segments of one recording in one file, with what joins them: a tar archive (docs/sasf.md section 8).

The segments are SASF files, as they were signed. A manifest, signed by whoever put them together, says which there are,
how much silence goes between them, and why. Not responsible for how long a gap is, nor for what a segment proves.
"""

from __future__ import annotations

import hashlib
import mmap
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mediaserverd.protocol.sasf import manifest
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.manifest import Manifest

SIGNATURE: Final = "recording.sig"
SUFFIX: Final = ".sasf.tar"
END: Final = bytes(2 * tarfile.BLOCKSIZE)
_SIGNED_AS: Final = b"SASF recording"


@dataclass(frozen=True, slots=True)
class Archive:
    """``files``: those that the manifest names and that are there. ``fault``: why it is not to be believed."""

    manifest: Manifest
    signer: bytes
    fault: str
    files: Mapping[str, memoryview]


def beginning(told: Manifest, signer: Ed25519PrivateKey) -> bytes:
    """Of the archive, up to the header of the first segment."""
    said = told.encode(signer.public_key().public_bytes_raw())
    signature = signer.sign(_SIGNED_AS + hashlib.sha256(said).digest())
    return b"".join(
        member_header(name, len(body)) + body + padding(len(body))
        for name, body in ((manifest.NAME, said), (SIGNATURE, signature))
    )


def member_header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)  # whose sizes have no limit


def padding(size: int) -> bytes:
    """Behind a member of that size."""
    return bytes(-size % tarfile.BLOCKSIZE)


def is_archive(data: bytes | memoryview | mmap.mmap) -> bool:
    return bytes(data[257:262]) == b"ustar"


def read_archive(data: bytes | memoryview | mmap.mmap) -> Archive:
    """Raises SasfError for what is no archive of a recording. ``data`` may be mapped and is not copied."""
    members = _members(memoryview(data))
    if manifest.NAME not in members:
        raise SasfError(f"a tar archive, but not of a recording: there is no {manifest.NAME} in it")
    said = members[manifest.NAME]
    told, signer = manifest.parse(said)
    fault = "" if _holds(signer, said, members.get(SIGNATURE)) else f"the signature of {manifest.NAME} does not hold"
    files = {each.file: members[each.file] for each in told.segments if each.file in members}
    return Archive(told, signer, fault, files)


def _members(view: memoryview) -> dict[str, memoryview]:
    """By name, in whatever folder of the archive they are; of several of one name the first."""
    members: dict[str, memoryview] = {}
    at = 0
    while at + tarfile.BLOCKSIZE <= len(view):
        block = bytes(view[at : at + tarfile.BLOCKSIZE])
        if not any(block):
            break
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as fault:
            raise SasfError(f"the archive is broken: {fault}", at) from fault
        body = at + tarfile.BLOCKSIZE
        if member.size < 0 or body + member.size > len(view):
            raise SasfError(f"the archive ends in the middle of {member.name[:100]}", at)
        if member.isreg():
            members.setdefault(PurePosixPath(member.name).name, view[body : body + member.size])
        at = body + member.size + -member.size % tarfile.BLOCKSIZE
    return members


def _holds(signer: bytes, said: memoryview, signature: memoryview | None) -> bool:
    if signature is None:
        return False
    try:
        digest = hashlib.sha256(said).digest()
        Ed25519PublicKey.from_public_bytes(signer).verify(bytes(signature), _SIGNED_AS + digest)
    except (InvalidSignature, ValueError):
        return False
    return True
