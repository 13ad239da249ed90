"""Selection for calls, from how the links to the media servers stand."""

from __future__ import annotations

from datetime import UTC, datetime

from mediaserverd.controller.media_link import LinkState, MediaState
from mediaserverd.controller.media_load import MediaLoad
from mediaserverd.controller.selecting import KEPT_PASSED, Selecting, described, for_operation, shortened
from mediaserverd.policy.facts import CallDirection, CallFacts, Party
from mediaserverd.policy.selection import SelectionRequest
from mediaserverd.policy.selection_document import from_document

RULES = from_document(
    {"rules": {"default": [{"location": "vault", "when": {"operation": "record"}}, "any"]}}, "", {"location": ["vault"]}
)
REQUEST = SelectionRequest(
    "default",
    (),
    "default",
    CallFacts(CallDirection.INTERNAL, Party("100"), Party("101"), datetime(2026, 1, 5, 12), operation="call"),
)

IDLE = MediaLoad()


def link(
    name: str, load: MediaLoad = IDLE, state: MediaState = MediaState.ACTIVE, location: str = "default"
) -> LinkState:
    return LinkState(name, location, state, "why", datetime.now(UTC), load)


class Links:
    def __init__(self, *states: LinkState) -> None:
        self.states = states
        self.selecting = Selecting(lambda: self.states)

    def servers(self) -> tuple[str, ...]:
        return self.selecting.choose(RULES, REQUEST).selection.servers


def test_calls_of_one_moment_do_not_all_go_to_the_server_that_was_idle_last() -> None:
    links = Links(link("m1"), link("m2"), link("m3", MediaLoad(3)))
    assert [links.servers()[0] for _ in range(6)] == ["m1", "m2", "m1", "m2", "m1", "m2"]
    links.states = (link("m1", MediaLoad(3)), link("m2", MediaLoad(3)), link("m3", MediaLoad(1)))
    assert links.servers()[0] == "m3", "what a server says of itself counts, once it has said it"


def test_servers_that_come_go_and_change_are_seen_at_the_next_call() -> None:
    links = Links(link("m1"), link("m2", state=MediaState.DRAINING))
    assert links.servers() == ("m1",)
    links.states = (link("m2"), link("m3", MediaLoad(5, max_sessions=5)))
    assert links.servers() == ("m2",)
    steps = links.selecting.choose(RULES, REQUEST).selection.steps
    assert ("m3", "all 5 sessions are in use") in [(step.server, step.reason) for step in steps if not step.taken]


def test_a_later_operation_of_the_call_is_asked_for_with_its_own_rules() -> None:
    links = Links(link("m1"), link("v1", MediaLoad(cpu_permille=900), location="vault"))
    record = for_operation(REQUEST, "record")
    assert links.servers() == ("m1", "v1")
    assert links.selecting.choose(RULES, record).selection.servers == ("v1", "m1")
    assert links.selecting.choose(RULES, record, {"v1": "lost"}).selection.servers == ("m1",)


def test_the_first_word_of_a_server_that_was_tried_is_kept() -> None:
    choice = Links(link("m1"), link("m2")).selecting.choose(RULES, REQUEST)
    choice.tried("m1", "no answer within 2 s")
    choice.tried("m2")
    choice.tried("m2", "refused a later change")
    choice.tried("m9", "not of this selection")
    assert choice.outcomes == {"m1": "no answer within 2 s", "m2": "took the call"}


def test_what_the_next_process_is_told_has_every_server_that_was_taken() -> None:
    down = [link(f"d{number}", state=MediaState.NOT_CONNECTED) for number in range(9)]
    told = described(Links(*down, link("up")).selecting.choose(RULES, REQUEST))
    short = shortened(told)
    assert [step["server"] for step in short["steps"] if step["taken"]] == ["up"]
    assert len(short["steps"]) + short["steps_left_out"] == len(told["steps"]) + told["steps_left_out"]
    assert len(short["steps"]) == 1 + KEPT_PASSED


def test_a_server_without_room_for_recordings_is_taken_only_where_no_other_is() -> None:
    full = link("m1", MediaLoad(refuses_recordings="less than 512 MiB are free for recordings"))
    busy = link("m2", MediaLoad(refuses_sessions="CPU usage limit exceeded"))
    links = Links(full, busy, link("m3", MediaLoad(9)))
    assert links.servers() == ("m3",)
    links.states = (full, busy)
    assert links.servers() == ("m1",), "a call is worth more than its recording"
