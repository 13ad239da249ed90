"""The census in virtual time: who gets a grace, who is given up, and whose silence counts against nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mediaserverd.recorder.catalogue.segments import Segment
from mediaserverd.recorder.census import Census, DeleteAgain, Fetch, Finding, GiveUp, Listings, TakeIn
from mediaserverd.recorder.report import FileState, Report
from mediaserverd.recorder.states import SegmentState

ID = "0" * 32
BOTH = frozenset({"east", "west"})
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def report(state: str = "finished", digit: str = "a") -> Report:
    return Report(
        file=f"{ID}-1.wav", recording_id=ID, segment=1, state=FileState(state), size=10, sha256=digit * 64, reason="r"
    )


def row(state: str, media_server: str = "east", reason: str = "", digit: str = "a") -> Segment:
    return Segment(
        recording_id=ID,
        number=1,
        media_server=media_server,
        file=f"{ID}-1.wav",
        state=SegmentState(state),
        reason=reason,
        size=10,
        sha256=digit * 64,
        stored_size=None,
        stored_sha256="",
        store_key="",
        attempts=0,
        next_attempt_at=None,
        deleted_at_source=None,
        recording_deleted=False,
    )


def census() -> Census:
    return Census(missing_after_s=60, ledger_grace_s=10)


def compare(judge: Census, now: float, listings: Listings, known: Segment | None) -> list[Finding]:
    listed = {} if known is None else {known.key: known}
    is_open = known is not None and known.state in ("expected", "recording", "ended", "fetching")
    return judge.compare(now, listings, BOTH, listed, [known] if known is not None and is_open else [])


def test_an_unannounced_file_is_taken_in_after_the_grace_and_not_before() -> None:
    judge, listings = census(), {"east": [report()], "west": []}
    assert compare(judge, 100, listings, None) == []
    assert compare(judge, 109.9, listings, None) == []
    assert compare(judge, 110, listings, None) == [TakeIn(report(), "east")]


def test_a_file_that_is_announced_within_the_grace_is_not_taken_in() -> None:
    judge, listings = census(), {"east": [report()], "west": []}
    assert compare(judge, 100, listings, None) == []
    assert compare(judge, 111, listings, row("ended")) == []


def test_a_finished_file_of_a_running_row_is_fetched_after_the_grace() -> None:
    judge, listings, running = census(), {"east": [report()], "west": []}, row("recording")
    assert compare(judge, 0, listings, running) == []
    assert compare(judge, 10, listings, running) == [Fetch(running, "east", f"{ID}-1.wav")]


def test_a_running_file_is_neither_missing_nor_fetched() -> None:
    judge, listings = census(), {"east": [report("running")], "west": []}
    for now in range(0, 1000, 50):
        assert compare(judge, now, listings, row("recording")) == []
        assert compare(judge, now, listings, None) == []


def test_a_row_whose_media_server_lists_it_no_more_is_given_up_when_its_time_is_over() -> None:
    judge, ended = census(), row("ended")
    assert compare(judge, 0, {"east": []}, ended) == []
    assert compare(judge, 59, {"east": []}, ended) == []
    assert compare(judge, 60, {"east": []}, ended) == [GiveUp(ended, "missing")]


def test_time_in_which_its_media_server_is_silent_does_not_count() -> None:
    judge, ended = census(), row("ended")
    compare(judge, 0, {"east": []}, ended)
    assert compare(judge, 100, {"west": []}, ended) == []
    assert compare(judge, 101, {"east": []}, ended) == []
    assert compare(judge, 161, {"east": []}, ended) == [GiveUp(ended, "missing")]


def test_a_row_that_shows_up_again_starts_its_time_anew() -> None:
    judge, running = census(), row("recording")
    compare(judge, 0, {"east": []}, running)
    compare(judge, 50, {"east": [report("running")]}, running)
    assert compare(judge, 60, {"east": []}, running) == []


def test_a_row_without_a_media_server_is_missing_only_if_all_media_servers_lack_it() -> None:
    judge, lost = census(), row("ended", media_server="")
    for now in (0, 100, 200):
        assert compare(judge, now, {"east": []}, lost) == []
    assert compare(judge, 300, {"east": [], "west": []}, lost) == []
    assert compare(judge, 360, {"east": [], "west": []}, lost) == [GiveUp(lost, "missing")]


def test_a_row_of_a_media_server_that_is_not_configured_is_not_called_missing() -> None:
    judge, foreign = census(), row("recording", media_server="north")
    for now in (0, 100, 200):
        assert compare(judge, now, {"east": [], "west": []}, foreign) == []


def test_a_file_on_another_media_server_than_the_row_says_is_fetched_from_there() -> None:
    ended = row("ended", media_server="west")
    assert compare(census(), 0, {"east": [report()], "west": []}, ended) == [Fetch(ended, "east", f"{ID}-1.wav")]


def test_a_file_on_two_media_servers_is_fetched_from_the_one_in_the_row() -> None:
    assert compare(census(), 0, {"east": [report()], "west": [report()]}, row("ended", media_server="west")) == []


def test_a_failed_row_whose_file_turns_up_is_fetched() -> None:
    for reason in ("missing", "unknown-media-server", "no-answer"):
        failed = row("failed", reason=reason)
        assert compare(census(), 0, {"east": [report()]}, failed) == [Fetch(failed, "east", f"{ID}-1.wav")]


def test_a_file_that_failed_its_digest_is_left_alone_until_it_changes() -> None:
    failed = row("failed", reason="digest-mismatch")
    assert compare(census(), 0, {"east": [report()]}, failed) == []
    assert compare(census(), 0, {"east": [report(digit="b")]}, failed) == [Fetch(failed, "east", f"{ID}-1.wav")]


def test_a_stored_file_that_is_still_listed_is_deleted_again_after_a_while() -> None:
    judge, stored = census(), replace(row("stored"), deleted_at_source=NOW)
    assert compare(judge, 0, {"east": [report()]}, stored) == []
    assert compare(judge, 10, {"east": [report()]}, stored) == [DeleteAgain(stored, "east", f"{ID}-1.wav")]


def test_a_stored_file_whose_deletion_is_under_way_is_left_to_it() -> None:
    judge, stored = census(), replace(row("stored"), next_attempt_at=NOW)
    for now in (0, 100):
        assert compare(judge, now, {"east": [report()]}, stored) == []


def test_other_content_under_a_stored_name_is_never_deleted() -> None:
    judge, stored = census(), replace(row("stored"), deleted_at_source=NOW)
    for now in (0, 100):
        assert compare(judge, now, {"east": [report(digit="b")]}, stored) == []


def test_what_a_person_deleted_is_deleted_at_its_source_too() -> None:
    judge, buried = census(), replace(row("failed"), recording_deleted=True)
    compare(judge, 0, {"east": [report()]}, buried)
    assert compare(judge, 10, {"east": [report()]}, buried) == [DeleteAgain(buried, "east", f"{ID}-1.wav")]


def test_what_was_discarded_is_deleted_where_it_is_found_and_missed_nowhere() -> None:
    judge, short = census(), row("discarded")
    compare(judge, 0, {"east": [report()], "west": []}, short)
    assert compare(judge, 10, {"east": [report()], "west": []}, short) == [DeleteAgain(short, "east", f"{ID}-1.wav")]
    assert compare(judge, 1000, {"east": [], "west": []}, short) == []


def test_what_a_media_server_calls_failed_and_has_nothing_of_is_given_up_with_its_reason() -> None:
    nothing = report("failed", digit="")
    for state in ("expected", "recording", "ended", "fetching"):
        assert compare(census(), 0, {"east": [nothing]}, row(state)) == [GiveUp(row(state), "r")]
    assert compare(census(), 0, {"east": [nothing]}, row("failed")) == []
    assert compare(census(), 0, {"east": [nothing]}, row("stored")) == []


def test_the_part_that_a_media_server_saved_of_a_failed_recording_is_fetched() -> None:
    part = {"east": [report("failed")]}
    assert compare(census(), 0, part, row("ended")) == []  # the fetcher is about to
    given_up = row("failed", reason="disk-full")  # before there was room to seal what there is
    assert compare(census(), 0, part, given_up) == [Fetch(given_up, "east", f"{ID}-1.wav")]
