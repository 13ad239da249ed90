"""The vault: what lies on its disk is sealed, what it is told survives, and what it destroys is gone."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from mediaserverd.process.role import StartFault
from mediaserverd.protocol.sasf.keys import Keybox, PublicKey, key_id, load_public, wrap
from mediaserverd.recorder.keyfiles import KeyFault, public_pem, read_private, read_public
from mediaserverd.recorder.sealed import Cost
from mediaserverd.recorder.vault import Vault

FILE_ID = bytes(range(16))


def opened(directory: Path, cost: Cost | None = None) -> Vault:
    return Vault.open(directory / "keys", None, cost)


def recipients(directory: Path) -> list[PublicKey]:
    return [load_public(path.read_bytes()) for path in sorted((directory / "keys" / "recipients").glob("*.pem"))]


def locked(directory: Path) -> tuple[Keybox, bytes]:
    """What a media server would make of the recipients as they are now."""
    key = secrets.token_bytes(32)
    return Keybox(tuple(wrap(key, FILE_ID, public) for public in recipients(directory))), key


def pem(key: X25519PrivateKey, password: bytes | None = None) -> bytes:
    sealing = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing)


def test_a_first_start_makes_a_key_that_recordings_are_encrypted_for_and_that_opens_them(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    keybox, key = locked(tmp_path)
    assert len(keybox.keys) == 1
    assert vault.unlock(keybox, FILE_ID) == key


def test_a_second_start_opens_what_the_first_one_locked_and_makes_nothing(tmp_path: Path) -> None:
    opened(tmp_path)
    before = sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    keybox, key = locked(tmp_path)
    assert opened(tmp_path).unlock(keybox, FILE_ID) == key
    assert sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()) == before


def test_private_keys_and_password_are_for_their_owner_alone_and_sealed(tmp_path: Path) -> None:
    vault = opened(tmp_path, Cost())
    key = X25519PrivateKey.generate()
    name = vault.keep(key)
    sealed = tmp_path / "keys" / "private" / f"{name}.json"
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys" / "private").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "secrets" / "vault.password").stat().st_mode & 0o777 == 0o600
    assert key.private_bytes_raw().hex() not in bytes.hex(sealed.read_bytes())
    document = json.loads(sealed.read_text())
    assert (document["kdf"], document["cost"]["memory_kib"]) == ("argon2id", 65536)


def test_a_wrong_password_is_told_with_the_file_that_it_does_not_open(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "secrets" / "vault.password").write_text("another\n")
    with pytest.raises(StartFault, match=r"does not open .*keys/private/recorder.json"):
        opened(tmp_path).check()


def test_a_lost_password_is_never_replaced_by_a_new_one(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "secrets" / "vault.password").unlink()
    with pytest.raises(StartFault, match=r"is gone, and the keys in .* are sealed with it; restore it"):
        opened(tmp_path)


@pytest.mark.parametrize("changed", ["created_at", "public", "cost", "salt", "nonce", "private"])
def test_a_sealed_file_that_was_changed_anywhere_does_not_open(tmp_path: Path, changed: str) -> None:
    name = opened(tmp_path).generate()
    path = tmp_path / "keys" / "private" / f"{name}.json"
    document = json.loads(path.read_text())
    other = json.loads((tmp_path / "keys" / "private" / "recorder.json").read_text())
    document[changed] = {**other["cost"], "time": 2} if changed == "cost" else other[changed]
    if changed == "created_at":
        document[changed] = "2020-01-01T00:00:00Z"
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFault, match="does not open"):
        opened(tmp_path).private_key(name)


def test_a_sealed_file_that_asks_for_boundless_memory_is_refused(tmp_path: Path) -> None:
    name = opened(tmp_path).generate()
    path = tmp_path / "keys" / "private" / f"{name}.json"
    document = json.loads(path.read_text())
    document["cost"]["memory_kib"] = 1 << 31
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFault, match="is no sealed key"):
        opened(tmp_path).private_key(name)


def test_after_a_rotation_new_recordings_are_for_the_new_key_and_old_ones_open_as_before(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    old, old_key = locked(tmp_path)
    vault.use(vault.generate())
    new, new_key = locked(tmp_path)
    assert {each.key_id for each in old.keys}.isdisjoint(each.key_id for each in new.keys)
    again = opened(tmp_path)
    assert again.unlock(old, FILE_ID) == old_key
    assert again.unlock(new, FILE_ID) == new_key
    assert {key.key_id for key in again.listed() if key.recipient} == {each.key_id for each in new.keys}


def test_an_escrow_key_opens_new_recordings_and_survives_rotations_until_it_is_removed(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    auditor = X25519PrivateKey.generate()
    name = vault.add_escrow(read_public(public_pem(auditor.public_key()), "auditor.pem"))
    vault.use(vault.generate())
    keybox, key = locked(tmp_path)
    assert name in {each.key_id for each in keybox.keys}
    (tmp_path / "auditor").mkdir()
    safe = opened(tmp_path / "auditor")
    assert safe.unlock(keybox, FILE_ID) is None
    safe.keep(auditor)
    assert safe.unlock(keybox, FILE_ID) == key
    assert vault.remove_escrow(name)
    assert name not in {each.key_id for each in locked(tmp_path)[0].keys}
    assert not vault.remove_escrow(name)


def test_a_destroyed_key_is_gone_from_the_disk_and_from_a_running_recorder(tmp_path: Path) -> None:
    running = opened(tmp_path)
    keybox, _ = locked(tmp_path)
    (old,) = [each.key_id for each in keybox.keys]
    assert running.unlock(keybox, FILE_ID) is not None
    with pytest.raises(KeyFault, match="rotate"):
        running.destroy(old)
    command_line = opened(tmp_path)
    command_line.use(command_line.generate())
    command_line.destroy(old)
    assert running.unlock(keybox, FILE_ID) is None
    assert opened(tmp_path).unlock(keybox, FILE_ID) is None
    assert not (tmp_path / "keys" / "private" / f"{old}.json").exists()


def test_an_rsa_key_of_3072_bits_can_be_imported_and_a_weaker_one_cannot(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    strong = generate_rsa(public_exponent=65537, key_size=3072)
    encoded = strong.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
    vault.use(vault.keep(read_private(encoded, b"sesame", "hsm.pem")))
    keybox, key = locked(tmp_path)
    assert keybox.keys[0].algorithm == "rsa-oaep"
    assert opened(tmp_path).unlock(keybox, FILE_ID) == key
    weak = generate_rsa(public_exponent=65537, key_size=2048)
    encoded = weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(KeyFault, match="2048 bits"):
        read_private(encoded, None, "weak.pem")


def test_what_is_no_key_for_recordings_is_refused_with_its_name(tmp_path: Path) -> None:
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, why in ((curve, "X25519 or RSA"), (b"nonsense", "no private key")):
        with pytest.raises(KeyFault, match=rf"given.pem .*{why}"):
            read_private(content, None, "given.pem")
    sealed = pem(X25519PrivateKey.generate(), b"sesame")
    with pytest.raises(KeyFault, match="protected by a password"):
        read_private(sealed, None, "given.pem")
    with pytest.raises(KeyFault, match="or the password is wrong"):
        read_private(sealed, b"wrong", "given.pem")
    with pytest.raises(KeyFault, match="no public key"):
        read_public(sealed, "given.pem")


def test_keys_and_password_can_come_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    key = X25519PrivateKey.generate()
    (credentials / "hsm.key.pem").write_bytes(pem(key))
    (credentials / "vault.password").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    vault = opened(tmp_path)
    assert [(info.key_id, info.where, info.recipient) for info in vault.listed()] == [
        (key_id(key.public_key()), "systemd", True)
    ]
    keybox, file_key = locked(tmp_path)
    assert vault.unlock(keybox, FILE_ID) == file_key
    assert not (tmp_path / "secrets").exists()
    with pytest.raises(KeyFault, match="systemd gives the key"):
        vault.destroy(key_id(key.public_key()))


def test_trusted_signers_follow_the_directory_and_a_file_that_is_no_key_is_nobody(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    ours = vault.signer().public_key().public_bytes_raw()
    assert vault.trusted_signers() == {ours}
    media = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "keys" / "signers" / "media.pem").write_bytes(public_pem(media))
    (tmp_path / "keys" / "signers" / "torn.pem").write_text("-----BEGIN PUBLIC KEY-----\nMC")
    assert vault.trusted_signers() == {ours, media.public_bytes_raw()}
