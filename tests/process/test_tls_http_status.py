"""The listeners of a role and the site's own certificates, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mediaserverd.process import http
from mediaserverd.process.http import STOP_TIMEOUT_S, HttpServer, client_certificate_roles
from mediaserverd.process.role import StartFault
from mediaserverd.process.status import StatusServer
from mediaserverd.process.tls import ServerTls, client_context, ensure_site_certificates, server_context
from mediaserverd.process.tokens import bearer_token, ensure_token, read_token, same_token


async def _who(request: Request) -> PlainTextResponse:
    return PlainTextResponse(" ".join(sorted(client_certificate_roles(request.scope))) or "nobody")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    ensure_site_certificates(tmp_path / "tls", ["localhost", "127.0.0.1"])
    return tmp_path / "tls"


@pytest.fixture
async def server(site: Path) -> AsyncIterator[HttpServer]:
    tls = ServerTls(site / "server.pem", site / "server.key", client_authority=site / "ca.pem")
    listener = HttpServer(Starlette(routes=[Route("/", _who)]), "127.0.0.1", 0, tls)
    await listener.start()
    yield listener
    await listener.stop()


async def test_a_client_that_trusts_the_authority_is_served_over_tls(server: HttpServer, site: Path) -> None:
    async with httpx.AsyncClient(verify=client_context(site / "ca.pem")) as client:
        assert (await client.get(f"https://127.0.0.1:{server.port}/")).text == "nobody"


async def test_a_client_certificate_is_verified_and_says_what_its_host_is(server: HttpServer, site: Path) -> None:
    context = client_context(site / "ca.pem")
    context.load_cert_chain(site / "server.pem", site / "server.key")
    async with httpx.AsyncClient(verify=context) as client:
        assert (await client.get(f"https://127.0.0.1:{server.port}/")).text == "controller media recorder"


async def test_a_client_certificate_of_a_stranger_is_refused(server: HttpServer, site: Path, tmp_path: Path) -> None:
    ensure_site_certificates(tmp_path / "stranger", ["localhost"])
    context = client_context(site / "ca.pem")
    context.load_cert_chain(tmp_path / "stranger" / "server.pem", tmp_path / "stranger" / "server.key")
    async with httpx.AsyncClient(verify=context) as client:
        with pytest.raises((httpx.HTTPError, ssl.SSLError)):
            await client.get(f"https://127.0.0.1:{server.port}/")


async def test_a_port_in_use_is_told_with_what_to_do(server: HttpServer) -> None:
    second = HttpServer(Starlette(), "127.0.0.1", server.port)
    with pytest.raises(StartFault, match=rf"port {server.port} .*in use; free the port"):
        await second.start()


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"],
    ids=["silence", "head", "body"],
)
async def test_a_request_that_never_comes_in_full_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(http, "REQUEST_TIMEOUT_S", 0.3)
    server = HttpServer(Starlette(routes=[Route("/", _read_all, methods=["GET", "POST"])]), "127.0.0.1", 0)
    await server.start()
    before = http.faulty_connections.labels("slow")._value.get()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" if begun else b"")  # a whole one first is no pardon
    writer.write(begun)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
    assert http.faulty_connections.labels("slow")._value.get() == before + 1
    writer.close()
    await server.stop()


async def test_one_address_gets_so_many_connections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SOURCE_LIMIT", 2)
    server = HttpServer(Starlette(routes=[Route("/", _read_all)]), "127.0.0.1", 0)
    await server.start()
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    for number, (reader, writer) in enumerate(opened):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await reader.read(12)
        assert answer == (b"HTTP/1.1 200" if number < 2 else b"")
    for _, writer in opened:
        writer.close()
    await server.stop()


async def _read_all(request: Request) -> Response:
    return Response(await request.body())


def test_a_key_of_another_certificate_is_told(site: Path, tmp_path: Path) -> None:
    ensure_site_certificates(tmp_path / "other", ["localhost"])
    with pytest.raises(StartFault, match="cannot be used together"):
        server_context(ServerTls(site / "server.pem", tmp_path / "other" / "server.key"))


@pytest.mark.parametrize("name", ["ca.pem", "server.pem"])
def test_a_certificate_that_is_none_is_told(site: Path, name: str) -> None:
    (site / name).write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    with pytest.raises(StartFault, match="is no PEM"):
        ensure_site_certificates(site, ["localhost", "new.example"])


def test_a_new_name_gets_a_new_certificate_from_the_same_authority(site: Path) -> None:
    before = (site / "ca.pem").read_bytes(), (site / "server.pem").read_bytes()
    ensure_site_certificates(site, ["127.0.0.1"])
    assert ((site / "ca.pem").read_bytes(), (site / "server.pem").read_bytes()) == before
    ensure_site_certificates(site, ["localhost", "pbx.example"])
    assert (site / "ca.pem").read_bytes() == before[0]
    assert (site / "server.pem").read_bytes() != before[1]
    assert (site / "server.key").stat().st_mode & 0o777 == 0o600


async def test_readiness_names_the_part_that_is_missing() -> None:
    missing = {"media": "not connected"}
    status = StatusServer("127.0.0.1", 0, lambda: missing)
    await status.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{status.port}") as client:
            answer = await client.get("/health/ready")
            assert (answer.status_code, answer.json()) == (503, {"ready": False, "missing": missing})
            missing.clear()
            assert (await client.get("/health/ready")).status_code == 200
            assert (await client.get("/health/live")).status_code == 200
            assert "process_cpu_seconds_total" in (await client.get("/metrics")).text
    finally:
        await status.stop()


def test_a_token_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "ng.token"
    token = ensure_token(path)
    assert ensure_token(path) == token == read_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert same_token(bearer_token(f"Bearer {token}"), token)
    assert not same_token(bearer_token(f"Basic {token}"), token)


def test_an_empty_token_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("")
    with pytest.raises(StartFault, match="is empty"):
        read_token(tmp_path / "t")


def test_a_secret_never_reaches_the_log() -> None:
    script = (
        "import structlog\nfrom mediaserverd.process.logs import configure_logging\n"
        "configure_logging('media', 'info')\n"
        "log = structlog.get_logger()\nlog.info('x', password='hunter2')\n"
        "secret_local = 'hunter2'\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert '"role": "media"' in run.stderr
    assert "ZeroDivisionError" in run.stderr
    assert "hunter2" not in run.stderr


async def test_a_stop_does_not_wait_for_clients_that_keep_their_connection(server: HttpServer, site: Path) -> None:
    async with httpx.AsyncClient(verify=client_context(site / "ca.pem")) as client:
        assert (await client.get(f"https://127.0.0.1:{server.port}/")).status_code == 200
        began = asyncio.get_running_loop().time()
        await server.stop()
        assert asyncio.get_running_loop().time() - began < STOP_TIMEOUT_S - 0.5
