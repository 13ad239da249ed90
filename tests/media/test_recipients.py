"""The directory of recipients' keys: read at start, followed while it changes, refused with the name of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mediaserverd.media.recipients import MAX_RECIPIENTS, Recipients
from mediaserverd.process.role import StartFault

ESCROW = generate_private_key(65537, 3072).public_key()


def pem(key: X25519PublicKey | RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def new_key() -> X25519PublicKey:
    return X25519PrivateKey.generate().public_key()


def test_every_key_file_of_the_directory_is_a_recipient(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "a.pem").write_bytes(pem(key))
    (tmp_path / "b.pem").write_bytes(pem(ESCROW))
    for other in ("notes.txt", ".a.pem.part", ".hidden.pem"):
        (tmp_path / other).write_text("no key")
    recipients = Recipients(tmp_path)
    recipients.load()
    assert recipients.current() == (key, ESCROW)


def test_without_directory_there_are_no_recipients_until_there_are(tmp_path: Path) -> None:
    recipients = Recipients(tmp_path / "recipients")
    recipients.load()
    assert recipients.current() == ()
    (tmp_path / "recipients").mkdir()
    key = new_key()
    (tmp_path / "recipients" / "a.pem").write_bytes(pem(key))
    assert recipients.current() == (key,)


def test_rotation_needs_neither_restart_nor_reload(tmp_path: Path) -> None:
    first, second = new_key(), new_key()
    (tmp_path / "a.pem").write_bytes(pem(first))
    recipients = Recipients(tmp_path)
    recipients.load()
    (tmp_path / "b.pem").write_bytes(pem(second))
    assert recipients.current() == (first, second)
    (tmp_path / "a.pem").unlink()
    assert recipients.current() == (second,)


def faulty() -> dict[str, bytes]:
    private = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signer = Ed25519PrivateKey.generate().public_key()
    return {
        "empty": b"",
        "nonsense": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "private": private,
        "short": pem(generate_private_key(65537, 2048).public_key()),
        "signer": signer.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }


@pytest.mark.parametrize("kind", faulty())
def test_a_file_that_is_no_recipient_is_told_at_start_and_keeps_the_others_in_use_later(
    tmp_path: Path, kind: str
) -> None:
    key = new_key()
    (tmp_path / "a.pem").write_bytes(pem(key))
    running = Recipients(tmp_path)
    running.load()
    (tmp_path / "bad.pem").write_bytes(faulty()[kind])
    with pytest.raises(StartFault, match=r"bad\.pem"):
        Recipients(tmp_path).load()
    assert running.current() == (key,)
    assert running.current() == (key,)
    replaced = new_key()
    (tmp_path / "bad.pem").write_bytes(pem(replaced))
    assert running.current() == (key, replaced)


def test_their_number_is_bounded(tmp_path: Path) -> None:
    for number in range(MAX_RECIPIENTS + 1):
        (tmp_path / f"{number:02}.pem").write_bytes(pem(new_key()))
    with pytest.raises(StartFault, match="remove some"):
        Recipients(tmp_path).load()
