"""A media server that starts together with its recorder is no alarm; one that stays away, or goes away, is one."""

from __future__ import annotations

import ssl

import pytest
from structlog.testing import capture_logs

from mediaserverd.recorder import media_servers
from mediaserverd.recorder.media_servers import MediaServer
from mediaserverd.recorder.retrieval import RetrievalClient


@pytest.fixture
def server() -> MediaServer:
    return MediaServer(RetrievalClient("m1", "https://127.0.0.1:1", "", ssl.create_default_context()))


def told(server: MediaServer, *faults: str) -> list[str]:
    with capture_logs() as lines:
        for fault in faults:
            server.failed(fault)
    assert {line["log_level"] for line in lines} <= {"error"}
    return [line["fault"] for line in lines]


def test_one_that_has_never_answered_is_awaited_but_its_state_says_what_is_missing(server: MediaServer) -> None:
    assert told(server, "nobody listens") == []
    assert (server.fault, server.since is None) == ("nobody listens", False)


def test_one_that_stays_away_is_an_error_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_servers, "STARTING_S", 0.0)
    late = MediaServer(RetrievalClient("m1", "https://127.0.0.1:1", "", ssl.create_default_context()))
    assert told(late, "nobody listens", "nobody listens", "timed out") == ["nobody listens", "timed out"]


def test_one_that_was_there_and_goes_away_is_an_error_at_once_and_each_time(server: MediaServer) -> None:
    server.failed("nobody listens")
    assert server.answered(0)
    assert told(server, "connection reset") == ["connection reset"]
    assert server.answered(0)
    assert told(server, "connection reset") == ["connection reset"]
