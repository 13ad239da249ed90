"""A second host joins the site of a first one: what comes of an invitation, and what is refused."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from mediaserverd.config import Config, load_config
from mediaserverd.config.demo import write_first_config
from mediaserverd.config.joining import join, make_invitation
from mediaserverd.daemon import prepare_host
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ensure_site_certificates


@pytest.fixture
def first(tmp_path: Path) -> Config:
    file = write_first_config(tmp_path / "first", "10.0.0.1")
    assert file is not None
    config = load_config(file)
    prepare_host(config, ("controller",))
    recipients = config.media.recipients_directory
    recipients.mkdir(parents=True)
    (recipients / "0123456789abcdef.pem").write_text("a public key")
    return config


def test_an_invited_host_has_a_configuration_its_certificate_and_the_recorders_keys(
    first: Config, tmp_path: Path
) -> None:
    file = tmp_path / "m2.invitation"
    code = make_invitation(first, "m2", "10.0.0.2", ["media"], file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in file.read_text()
    config_file, accepted = join(file, code.lower().replace("-", " "), tmp_path / "second")
    config = load_config(config_file)
    assert (accepted.name, config.roles, config.media.name) == ("m2", ("media",), "m2")
    assert (config.address, config.media.ng_address) == ("10.0.0.2", "0.0.0.0")
    assert first.tls_directory is not None
    assert config.media.certificate_authority.read_bytes() == (first.tls_directory / "ca.pem").read_bytes()
    assert not (config.media.certificate_authority.parent / "ca.key").exists()
    certificate = x509.load_pem_x509_certificate(config.media.certificate.read_bytes())
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    assert [unit.value for unit in units] == ["media"], "no controller's, no recorder's"
    ssl.create_default_context().load_cert_chain(config.media.certificate, config.media.private_key)
    assert config.media.private_key.stat().st_mode & 0o777 == 0o600
    assert (config.media.recipients_directory / "0123456789abcdef.pem").read_text() == "a public key"
    prepare_host(config, config.roles)  # what a first start does; it needs no authority of its own


def test_what_cannot_be_joined_is_told_in_a_sentence(first: Config, tmp_path: Path) -> None:
    file = tmp_path / "m2.invitation"
    code = make_invitation(first, "m2", "10.0.0.2", ["media", "recorder"], file)
    with pytest.raises(StartFault, match="there already"):
        make_invitation(first, "m2", "10.0.0.2", ["media"], file)
    with pytest.raises(StartFault, match="not the one of this invitation"):
        join(file, "AAAA-BBBB", tmp_path / "second")
    assert not (tmp_path / "second").exists()
    with pytest.raises(StartFault, match="no invitation"):
        join(first.file, code, tmp_path / "second")
    with pytest.raises(StartFault, match="first of another site"):
        join(file, code, tmp_path / "first")
    config_file, _ = join(file, code, tmp_path / "second")
    second = load_config(config_file)
    with pytest.raises(StartFault, match="authority"):
        make_invitation(second, "m3", "10.0.0.3", ["media"], tmp_path / "m3.invitation")
    assert second.tls_directory is not None
    with pytest.raises(StartFault, match=r"no certificate for 10\.0\.0\.9.*site invite"):
        ensure_site_certificates(second.tls_directory, ["10.0.0.9", "localhost"])
