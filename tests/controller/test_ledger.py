"""The outbox against a real HTTPS recorder that can refuse, vanish and come back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mediaserverd.controller.database import DatabaseFault
from mediaserverd.controller.ledger import Ledger
from mediaserverd.controller.settings import LedgerLink
from mediaserverd.process.http import HttpServer
from tests.controller.site import Site
from tests.controller.waiting import until

pytestmark = pytest.mark.timeout(30)


class ListeningRecorder:
    """Keeps what is posted; ``answer`` is the status it gives."""

    def __init__(self, site: Site, port: int = 0, controller: str = "here") -> None:
        self._controller = controller
        self.entries: list[dict[str, Any]] = []
        self.answer = 200
        self._token = site.token("ledger")
        app = Starlette(routes=[Route("/internal/ledger", self._take, methods=["POST"])])
        self.server = HttpServer(app, "127.0.0.1", port, site.server_tls)

    async def _take(self, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return JSONResponse({"detail": "who?"}, status_code=401)
        if self.answer != 200:
            return JSONResponse({"detail": "not now"}, status_code=self.answer)
        document = await request.json()
        assert document["controller"] == self._controller
        self.entries += document["entries"]
        return JSONResponse({"accepted": len(document["entries"])})


def _entry(event: str, recording_id: str, segment: int, **further: object) -> dict[str, object]:
    return {"event": event, "recording_id": recording_id, "segment": segment, **further}


def _ledger(site: Site, port: int) -> Ledger:
    link = LedgerLink(url=f"https://localhost:{port}", token_file=site.token_file("ledger"))
    return Ledger(site.directory / "state", "here", link, site.authority)


async def test_entries_arrive_in_order_and_leave_the_disk(site: Site) -> None:
    recorder = ListeningRecorder(site)
    await recorder.server.start()
    ledger = _ledger(site, recorder.server.port)
    await ledger.start()
    await asyncio.gather(*(ledger.append(_entry("expected", f"r{number}", 1, call_id="c")) for number in range(300)))
    await until(lambda: ledger.unsent == 0)
    sequences = [entry["sequence"] for entry in recorder.entries]
    assert sequences == list(range(sequences[0], sequences[0] + 300))
    assert {entry["recording_id"] for entry in recorder.entries} == {f"r{number}" for number in range(300)}
    assert recorder.entries[0]["call_id"] == "c"
    await ledger.stop()
    await recorder.server.stop()


async def test_a_recorder_that_is_down_delays_nothing_and_gets_everything_later(site: Site) -> None:
    probe = ListeningRecorder(site)
    await probe.server.start()
    port = probe.server.port
    await probe.server.stop()
    ledger = _ledger(site, port)
    await ledger.start()
    async with asyncio.timeout(5):
        for number in range(20):
            await ledger.append(_entry("expected", f"r{number}", 1))
    await until(lambda: bool(ledger.fault))
    assert ledger.unsent == 20
    recorder = ListeningRecorder(site, port)
    recorder.answer = 503
    await recorder.server.start()
    await until(lambda: "503" in ledger.fault)
    recorder.answer = 200
    await until(lambda: ledger.unsent == 0)
    assert [entry["recording_id"] for entry in recorder.entries] == [f"r{number}" for number in range(20)]
    assert ledger.fault == ""
    await ledger.stop()
    await recorder.server.stop()


async def test_what_a_full_disk_does_not_take_is_kept_and_sent_when_there_is_room(site: Site) -> None:
    recorder = ListeningRecorder(site)
    await recorder.server.start()
    ledger = _ledger(site, recorder.server.port)
    await ledger.start()
    pages = "PRAGMA max_page_count = {}".format
    await ledger._database.run(lambda connection: connection.execute(pages(1)).fetchall())  # no more than it has now
    for number in range(20):
        with contextlib.suppress(DatabaseFault):  # the file's free pages take the first ones
            await ledger.append(_entry("expected", f"r{number}", 1, call_id="c" * 1000))
    with pytest.raises(DatabaseFault, match="full"):
        await ledger.append(_entry("ended", "r0", 1, reason="call-ended"))
    await ledger._database.run(lambda connection: connection.execute(pages(100_000)).fetchall())
    await until(lambda: len({entry["sequence"] for entry in recorder.entries}) == 21)
    once = {
        entry["sequence"]: entry for entry in recorder.entries
    }  # while full, what was sent could not be crossed out
    told = [(entry["event"], entry["recording_id"]) for _, entry in sorted(once.items())]
    assert told == [*(("expected", f"r{number}") for number in range(20)), ("ended", "r0")]
    await until(lambda: ledger.unsent == 0)
    await ledger.stop()
    await recorder.server.stop()


async def test_a_restart_ends_what_the_earlier_run_left_running_and_goes_on_counting(site: Site) -> None:
    recorder = ListeningRecorder(site)
    await recorder.server.start()
    first = _ledger(site, recorder.server.port)
    await first.start()
    await first.append(_entry("expected", "ended", 1))
    await first.append(_entry("ended", "ended", 1, reason="call-ended", duration_ms=5))
    await first.append(_entry("expected", "failed", 1))
    await first.append(_entry("failed", "failed", 1, reason="refused"))
    last = await first.append(_entry("expected", "open", 2))
    await until(lambda: first.unsent == 0)
    await first.stop()
    recorder.entries.clear()

    second = _ledger(site, recorder.server.port)
    await second.start()
    await until(lambda: second.unsent == 0)
    [entry] = recorder.entries
    assert (entry["event"], entry["recording_id"], entry["segment"]) == ("ended", "open", 2)
    assert entry["reason"] == "controller-restart"
    assert entry["sequence"] == last + 1
    await second.stop()

    third = _ledger(site, recorder.server.port)
    await third.start()
    assert third.unsent == 0
    await third.stop()
    await recorder.server.stop()


async def test_a_wrong_token_is_told_and_keeps_the_entries(site: Site) -> None:
    recorder = ListeningRecorder(site)
    await recorder.server.start()
    site.token_file("ledger").write_text("wrong\n")
    ledger = _ledger(site, recorder.server.port)
    await ledger.start()
    await ledger.append(_entry("expected", "r", 1))
    await until(lambda: "401" in ledger.fault)
    assert ledger.unsent == 1
    await ledger.stop()
    await recorder.server.stop()
