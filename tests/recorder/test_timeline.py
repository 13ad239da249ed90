"""How segments follow each other, what is missing between them, and what the whole then proves."""

from __future__ import annotations

from typing import Any

from mediaserverd.protocol.sasf.manifest import Gap
from mediaserverd.recorder.proof import proof
from mediaserverd.recorder.states import SegmentState
from mediaserverd.recorder.timeline import Part, Piece, Timeline, timeline


def part(number: int, at_ms: int, duration_ms: int, **more: Any) -> Part:
    values: dict[str, Any] = {
        "state": SegmentState.STORED,
        "reason": "call-ended",
        "ended_because": "call-ended",
        "started": True,
        **more,
    }
    return Part(number=number, begin_ms=at_ms, duration_ms=duration_ms, **values)


def lost(number: int, at_ms: int, duration_ms: int, **more: Any) -> Part:
    return part(number, at_ms, duration_ms, ended_because="media-server-lost", reason="recovered", **more)


def failed(number: int, at_ms: int, duration_ms: int, reason: str, **more: Any) -> Part:
    return part(number, at_ms, duration_ms, state=SegmentState.FAILED, reason=reason, ended_because="", **more)


def test_one_segment_has_no_gap_however_long_it_was_silent() -> None:
    assert timeline([part(1, 0, 9000, heard_from_ms=400, heard_to_ms=5000)]) == Timeline((Piece(1),), (), 9000)


def test_a_gap_is_from_the_last_packet_before_it_to_the_first_one_behind_it() -> None:
    found = timeline([lost(1, 0, 5000, heard_to_ms=4800), part(2, 5600, 3000, heard_from_ms=150, heard_to_ms=2990)])
    assert found.gaps == (Gap(1, 4800, 950, "media-server-lost"),)
    assert found.pieces == (Piece(1, 0, 4800), Piece(2, 800))
    assert found.duration_ms == 4800 + 800 + 3000


def test_what_a_server_that_was_cut_off_wrote_on_is_cut_off() -> None:
    found = timeline([lost(1, 0, 60_000, heard_to_ms=5000), part(2, 6000, 2000, heard_from_ms=0)])
    assert (found.pieces[0].until_ms, found.gaps[0].duration_ms, found.duration_ms) == (5000, 1000, 8000)


def test_what_a_frozen_server_finds_when_it_wakes_comes_too_late() -> None:
    frozen = lost(1, 0, 16_000, heard_to_ms=15_900, silences_ms=((1000, 2500), (10_000, 15_800)))
    found = timeline([frozen, part(2, 12_000, 2000, heard_from_ms=100)])
    assert (found.pieces[0].until_ms, found.gaps) == (10_000, (Gap(1, 10_000, 2100, "media-server-lost"),))


def test_what_a_frozen_server_finds_and_can_place_before_the_next_one_took_over_is_no_gap() -> None:
    frozen = lost(1, 0, 16_000, heard_to_ms=11_200, silences_ms=((10_000, 15_800),))
    found = timeline([frozen, part(2, 12_000, 2000, heard_from_ms=100)])
    assert (found.pieces[0].until_ms, found.gaps) == (11_200, (Gap(1, 11_200, 900, "media-server-lost"),))


def test_a_server_that_was_frozen_from_the_first_packet_on_has_nothing_that_can_be_placed() -> None:
    found = timeline([lost(1, 0, 5200, heard_from_ms=4300, heard_to_ms=5150), part(2, 2800, 3600, heard_from_ms=60)])
    assert (found.pieces[0].until_ms, found.gaps) == (0, (Gap(1, 0, 2860, "media-server-lost"),))


def test_where_nothing_is_missing_the_next_segment_is_in_time_although_it_began_before_its_first_packet() -> None:
    found = timeline([lost(1, 0, 6600, heard_to_ms=5670), part(2, 5630, 3700, heard_from_ms=40)])
    assert (found.gaps, found.pieces) == ((), (Piece(1, 0, 5670), Piece(2, -40)))
    assert found.duration_ms == 5630 + 3700


def test_a_server_on_which_nobody_was_heard_is_part_of_the_gap() -> None:
    frozen = lost(1, 0, 4300, is_silent=True)
    found = timeline([frozen, part(2, 1300, 5000, heard_from_ms=20)])
    assert (found.pieces, found.gaps) == ((Piece(1, 0, 0), Piece(2)), (Gap(0, 0, 1320, "media-server-lost"),))
    found = timeline([lost(1, 0, 5000), lost(2, 6000, 3000, is_silent=True), part(3, 9800, 2000)])
    assert [(gap.after, gap.duration_ms, gap.reason) for gap in found.gaps] == [(1, 4800, "media-server-lost")]
    frozen = lost(1, 0, 14_000, heard_to_ms=4300)
    found = timeline([frozen, part(2, 5600, 200, is_silent=True)])
    assert (found.gaps, found.duration_ms) == ((Gap(1, 4300, 1500, "media-server-lost"),), 4300)
    found = timeline([lost(1, 0, 5000), part(2, 6000, 900, is_silent=True)])
    assert [(gap.after, gap.duration_ms, gap.reason) for gap in found.gaps] == [(1, 1900, "media-server-lost")]


def test_a_segment_of_which_the_controller_heard_nothing_but_its_end_elsewhere_was_lost_to_it() -> None:
    unheard = part(1, 0, 4200, ended_because="", heard_to_ms=2300)
    assert timeline([unheard, part(2, 6000, 1000)]).gaps == (Gap(1, 2300, 3700, "media-server-lost"),)


def test_the_end_that_a_media_server_lost_while_no_controller_looked_is_a_gap() -> None:
    for reason, told in (
        ("recovered", "media-server-lost"),
        ("disk-full", "disk-full"),
        ("disk-error: 5", "disk-error"),
    ):
        found = timeline([part(1, 0, 4000, reason=reason, over_ms=6000)])
        assert found.gaps == (Gap(1, 4000, 2000, told),)
        assert timeline([part(1, 0, 4000, reason=reason, over_ms=4900)]).gaps == (), "what may be lost"
    assert timeline([part(1, 0, 4000, over_ms=6000)]).gaps == ()


def test_packets_that_were_lost_for_long_are_a_gap_within_their_segment() -> None:
    cut_off = lost(1, 0, 9000, heard_to_ms=8000, outages_ms=((2000, 4500), (8200, 8900)))
    found = timeline([cut_off, part(2, 9000, 5000, outages_ms=((1000, 2500),))])
    assert found.gaps == (
        Gap(1, 2000, 2500, "packets-lost", 0),
        Gap(1, 8000, 1000, "media-server-lost"),
        Gap(2, 10_000, 1500, "packets-lost", 0),
    )


def test_segments_that_overlap_make_no_negative_gap() -> None:
    found = timeline([lost(1, 0, 5000), part(2, 4000, 2000)])
    assert (found.gaps, found.pieces, found.duration_ms) == ((), (Piece(1, 0, 5000), Piece(2)), 7000)


def test_a_gap_is_as_exact_as_the_places_of_both_segments() -> None:
    found = timeline([lost(1, 0, 5000, within_ms=5), lost(2, 6000, 1000, within_ms=8), part(3, 8000, 1000)])
    assert [gap.accuracy_ms for gap in found.gaps] == [13, None]


def test_what_a_pause_cuts_out_is_in_no_length_and_leaves_its_beep() -> None:
    found = timeline([lost(1, 0, 5000, cuts=((1000, 3000),)), part(2, 6000, 2000)])
    assert (found.gaps[0].start_ms, found.pieces[0].until_ms, found.duration_ms) == (3200, 5000, 6200)


def test_an_attempt_that_never_began_leaves_the_reason_to_what_was_before() -> None:
    vain = failed(2, 5200, 100, "disk floor", started=False)
    found = timeline([lost(1, 0, 5000), vain, part(3, 5500, 1000)])
    assert found.gaps == (Gap(1, 5000, 500, "media-server-lost"),)


def test_a_segment_that_is_lost_is_a_gap_with_its_reason_wherever_it_was() -> None:
    missing = {"reason": "missing"}
    assert timeline([failed(1, 0, 4000, **missing), part(2, 5000, 1000)]).gaps == (Gap(0, 0, 5000, "missing"),)
    within = timeline([part(1, 0, 1000), failed(2, 1200, 3000, **missing), part(3, 4500, 1000)])
    assert within.gaps == (Gap(1, 1000, 3500, "missing"),)
    behind = timeline([lost(1, 0, 2000), failed(2, 2500, 1500, "no-media-server", started=False)])
    assert behind.gaps == (Gap(1, 2000, 2000, "no-media-server"),)
    assert timeline([failed(1, 0, 4000, **missing)]) == Timeline((), (Gap(0, 0, 4000, "missing"),), 0)


def test_two_servers_lost_one_after_the_other_make_two_gaps_of_one_recording() -> None:
    found = timeline([lost(1, 0, 5000), lost(2, 6000, 3000), part(3, 9800, 2000)])
    assert [(gap.after, gap.start_ms, gap.duration_ms) for gap in found.gaps] == [(1, 5000, 1000), (2, 9000, 800)]
    assert found.duration_ms == 11_800


def test_discarded_segments_have_no_place() -> None:
    assert timeline([part(1, 0, 500, state=SegmentState.DISCARDED), part(2, 600, 900)]).gaps == ()


def row(number: int, verification: str, *findings: str, state: str = "stored") -> dict[str, Any]:
    return {
        "number": number,
        "state": state,
        "reason": "missing",
        "format": "sasf",
        "verification": verification,
        "verification_findings": list(findings),
    }


def test_the_sentence_covers_every_segment_and_every_gap_and_the_verdict_is_the_worst() -> None:
    gap = {"after": 1, "start_ms": 5000, "duration_ms": 812, "reason": "media-server-lost"}
    good = [row(1, "verified", "proves this"), row(2, "verified", "proves that")]
    assert proof(good, [gap]) == (
        "verified",
        "segment 1 proves this; segment 2 proves that; 812 ms are missing after segment 1 (media-server-lost)",
    )
    verdict, sentence = proof([*good, row(3, "failed", "byte 7 was changed"), row(4, "", state="failed")], [])
    assert verdict == "failed"
    assert "segment 3 does not prove what it should: byte 7 was changed" in sentence
    assert "segment 4 is not there (failed: missing)" in sentence


def test_one_segment_speaks_for_itself_and_nothing_stored_proves_nothing() -> None:
    assert proof([row(1, "verified", "proves this")], []) == ("verified", "proves this")
    assert proof([row(1, "", state="failed")], []) == ("", "nothing of it is stored, so nothing is proven")
