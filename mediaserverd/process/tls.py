"""TLS files and contexts: a site's own certificate authority made at first start, server and client contexts."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mediaserverd.process.role import StartFault

AUTHORITY_LIFETIME = timedelta(days=3650)
CERTIFICATE_LIFETIME = timedelta(days=825)  # the most that common clients accept of a private CA
# What a certificate of the site may say that its host is, each in an organizational unit of its subject.
ROLES = ("controller", "media", "recorder")


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Files of a TLS listener (PEM). ``client_authority``: client certificates are verified when given."""

    certificate: Path
    private_key: Path
    client_authority: Path | None = None


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """TLS 1.2 and up. Raises StartFault when the files are unreadable or do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, tls)
    if tls.client_authority is not None:
        _load_authority(context, tls.client_authority)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(authority: Path, own: ServerTls | None = None) -> ssl.SSLContext:
    """Trusts one authority only, checks host names, shows ``own`` certificate to who asks. Raises StartFault when a
    file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_authority(context, authority)
    if own is not None:
        _load_own(context, own)
    return context


def _load_own(context: ssl.SSLContext, tls: ServerTls) -> None:
    try:
        context.load_cert_chain(tls.certificate, tls.private_key)
    except ssl.SSLError as fault:
        raise StartFault(
            f"the certificate {tls.certificate} and the private key {tls.private_key} cannot be used together "
            f"({fault.reason or fault}); give a PEM certificate with its own key"
        ) from fault
    except OSError as fault:
        raise StartFault(f"cannot read {tls.certificate} or {tls.private_key}: {fault}") from fault


def _load_authority(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as fault:
        raise StartFault(
            f"cannot use the certificate authority {authority}: {fault}; give a PEM certificate"
        ) from fault


def ensure_site_certificates(directory: Path, names: Sequence[str]) -> None:
    """Makes ``ca.pem``, ``ca.key``, ``server.pem``, ``server.key`` in a directory unless they are there.

    The server certificate serves as client certificate too; it says that this host may have every role. One that lacks
    one of ``names`` (host names or IP addresses) is made anew from the same authority, so that phones that trust the
    authority need nothing new. A host that has joined a site has its certificate from the invitation alone.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    authority_files = directory / "ca.pem", directory / "ca.key"
    if not authority_files[0].exists():
        _write_pair(*authority_files, *_make_authority())
    server_files = directory / "server.pem", directory / "server.key"
    lacking = set(names) - _names_of(server_files[0]) if server_files[0].exists() else set(names)
    if authority_files[1].exists():
        if lacking or not _roles_of(server_files[0]):
            _write_pair(*server_files, *_made_by(directory, names[0], names, ROLES))
    elif lacking:
        raise StartFault(
            f"{server_files[0]} is no certificate for {', '.join(sorted(lacking))}, and this host cannot make one: the "
            "site's authority is elsewhere; let `mediaserverd site invite` there make an invitation for this address"
        )


def issue(directory: Path, host: str, names: Sequence[str], roles: Sequence[str]) -> tuple[bytes, bytes]:
    """A certificate for another host of the site, and its private key (PEM). Raises StartFault without an authority."""
    if not (directory / "ca.key").exists():
        raise StartFault(
            f"{directory / 'ca.key'} is not here: invitations are made on the host that has the site's authority"
        )
    certificate, key = _made_by(directory, host, names, roles)
    return certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key)


def peer_roles(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """What a verified peer certificate says that its host is, as ``SSLObject.getpeercert`` gives it."""
    subject = (certificate or {}).get("subject", ())
    return frozenset(value for names in subject for kind, value in names if kind == "organizationalUnitName")


def _made_by(
    directory: Path, host: str, names: Sequence[str], roles: Sequence[str]
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    return _make_server(_read_certificate(directory / "ca.pem"), _read_key(directory / "ca.key"), host, names, roles)


def _read_certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as fault:
        raise StartFault(
            f"{file} is no PEM certificate ({fault}); put one there, or delete {file.parent} to have new files made"
        ) from fault


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as fault:  # no PEM, or a key with a password
        raise StartFault(
            f"{file} is no PEM private key without a password ({fault}); put one there, or delete {file.parent} "
            "to have new files made"
        ) from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StartFault(f"{file} is not an elliptic-curve key; delete {file.parent} to have new files made")
    return key


def _subject(common_name: str, roles: Sequence[str] = ()) -> x509.Name:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role) for role in roles]
    return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _make_authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("mediaserverd site authority")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = _builder(name, name, key.public_key(), AUTHORITY_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key


def _make_server(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    host: str,
    names: Sequence[str],
    roles: Sequence[str],
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(_subject(host, roles), authority.subject, key.public_key(), CERTIFICATE_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return certificate, key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _roles_of(certificate_file: Path) -> set[str]:
    subject = _read_certificate(certificate_file).subject
    return {str(unit.value) for unit in subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)}


def _names_of(certificate_file: Path) -> set[str]:
    certificate = _read_certificate(certificate_file)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in extension.get_values_for_type(x509.IPAddress)}
    return addresses | set(extension.get_values_for_type(x509.DNSName))


def _write_pair(
    certificate_file: Path, key_file: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    write_pair(certificate_file, key_file, certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key))


def write_pair(certificate_file: Path, key_file: Path, certificate: bytes, key: bytes) -> None:
    """The key for this user alone."""
    key_file.unlink(missing_ok=True)
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
    certificate_file.write_bytes(certificate)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
