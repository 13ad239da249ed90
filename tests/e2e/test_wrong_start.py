"""A start that cannot be: bad YAML, a port in use, a certificate that does not match. Exit status 78 and a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mediaserverd.process.tls import ensure_site_certificates
from tests.kit.daemon import HOST, Daemon

EXIT_FAULT: Final = 78  # EX_CONFIG: systemd does not start it again
UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
LISTENERS: Final = [
    ("controller", 5060, UDP, "udp_port"),
    ("controller", 5060, TCP, "tcp_port"),
    ("controller", 5061, TCP, "tls_port"),
    ("controller", 9501, TCP, "free the port"),
    ("media", 2223, UDP, "ng_port"),
    ("media", 2223, TCP, "ng_port"),
    ("media", 8102, TCP, "free the port"),
    ("media", 9502, TCP, "free the port"),
    ("recorder", 8443, TCP, "free the port"),
    ("recorder", 9503, TCP, "free the port"),
]


@contextlib.contextmanager
def occupied(port: int, kind: socket.SocketKind) -> Iterator[None]:
    with socket.socket(socket.AF_INET, kind) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind is TCP)  # connections of before may linger
        other.bind((HOST, port))
        if kind is TCP:
            other.listen()
        yield


async def refused_start(directory: Path, role: str) -> str:
    """The sentence with which a role does not start."""
    daemon = await Daemon.start(directory, role=role, ready=False)
    assert await daemon.ended() == EXIT_FAULT
    assert all("exception" not in line and "text" not in line for line in daemon.log()), daemon.log()
    (told,) = [str(line["fault"]) for line in daemon.log() if line.get("event") == "start_failed"]
    return told


@pytest.mark.parametrize(("role", "port", "kind", "advice"), LISTENERS)
async def test_a_port_in_use_is_named_with_what_to_do(
    tmp_path: Path, role: str, port: int, kind: socket.SocketKind, advice: str
) -> None:
    with occupied(port, kind):
        told = await refused_start(tmp_path / "site", role)
    assert f"port {port} (" in told
    assert ("UDP" if kind is UDP else "TLS" if port == 5061 else "TCP") in told
    assert "Address already in use" in told
    assert advice in told


async def test_the_whole_daemon_ends_with_the_same_status_and_leaves_nothing(tmp_path: Path) -> None:
    with occupied(5061, TCP):
        daemon = await Daemon.start(tmp_path / "site", ready=False)
        daemon.expect("start_failed", "role_cannot_start", "media_server_unusable")
        assert await daemon.ended() == EXIT_FAULT
    assert await daemon.stop() == []
    (told,) = [line for line in daemon.log() if line.get("event") == "start_failed"]
    assert (told["role"], "port 5061" in told["fault"]) == ("controller", True)


@pytest.mark.parametrize("role", ["controller", "media", "recorder"])
async def test_a_certificate_with_another_key_is_named(tmp_path: Path, role: str) -> None:
    tls, other = tmp_path / "site" / "data" / "tls", tmp_path / "other"
    for directory in (tls, other):
        ensure_site_certificates(directory, [HOST, "localhost", "127.0.0.1", "::1"])
    (tls / "server.key").write_bytes((other / "server.key").read_bytes())
    told = await refused_start(tmp_path / "site", role)
    assert str(tls / "server.pem") in told
    assert str(tls / "server.key") in told
    assert "cannot be used together" in told


async def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    tls = tmp_path / "site" / "data" / "tls"
    ensure_site_certificates(tls, [HOST, "localhost", "127.0.0.1", "::1"])
    (tls / "server.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    told = await refused_start(tmp_path / "site", "controller")
    assert str(tls) in told
    assert "server.pem" in told


async def test_a_media_server_of_another_authority_is_not_trusted_and_readiness_says_why(tmp_path: Path) -> None:
    site, other = tmp_path / "site", tmp_path / "other"
    ensure_site_certificates(other, [HOST])
    daemon = await Daemon.start(site)
    await daemon.stop()
    (site / "data" / "tls" / "ca.pem").write_bytes((other / "ca.pem").read_bytes())
    daemon = await Daemon.start(site, ready=False)
    try:
        async with asyncio.timeout(20):
            while "certificate" not in await daemon.status.missing("controller"):
                await asyncio.sleep(0.1)
    finally:
        daemon.expect("media_server_unusable", "ledger_undelivered")
        await daemon.stop()


WRONG_CONFIG: Final = {
    'address: 127.0.0.1\ndata_directory: data\nstatoins: []\nsip:\n  udp_port: 99999\nrecord: "some"\n': (
        "config.yaml:3: statoins: unknown key; did you mean stations",
        "config.yaml:5: sip.udp_port",
        "config.yaml:6: record",
    ),
    "address: [1, 2\n": ("config.yaml:2: not YAML",),
    "": ("config.yaml: address: is missing", "config.yaml: data_directory: is missing"),
    "\x00\x01": ("config.yaml:",),
    "a: &a [*a]\n": ("config.yaml:1: a: nested more than 50 deep",),
    "x: " + "[" * 5000 + "\n": ("config.yaml: not YAML: nested too deeply",),
}


@pytest.mark.parametrize("text", WRONG_CONFIG, ids=["keys", "flow", "empty", "control", "recursive", "deep"])
async def test_bad_yaml_ends_with_every_fault_at_its_line(tmp_path: Path, text: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    daemon = await Daemon.run(config)
    assert await daemon.ended() == EXIT_FAULT
    told = "\n".join(line.get("text", "") for line in daemon.log())
    assert "Traceback" not in told
    assert "fault(s); nothing was changed" in told
    for words in WRONG_CONFIG[text]:
        assert words in told


async def test_a_configuration_that_is_not_there_or_not_readable_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mediaserverd", "run", "--config", str(path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == EXIT_FAULT
        assert str(path).encode() in output
        assert b"Traceback" not in output
