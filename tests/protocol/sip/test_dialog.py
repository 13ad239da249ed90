"""Dialogs: the way to the other side, sequence numbers, credentials; and over which flow that way leads."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.dialog import Dialog, again, credentials_of, glare_delay
from mediaserverd.protocol.sip.endpoint import (
    Ending,
    Failure,
    Flow,
    ResponseReceived,
    SessionEnded,
    TransactionFailed,
    Transmit,
)
from mediaserverd.protocol.sip.flow import next_flow
from mediaserverd.protocol.sip.message import Headers, Request, Response
from mediaserverd.protocol.sip.session import Pairs, Phase
from mediaserverd.protocol.sip.uri import Uri
from tests.protocol.sip.network import ANSWER, OFFER, talking, two_phones

ROUTES = ("<sip:p1.example;lr>", "<sip:p2.example;lr>")


def invite(*more: tuple[str, str]) -> Request:
    items = [
        ("From", "<sip:a@a.example>;tag=a"),
        ("To", "<sip:b@b.example>"),
        ("Call-ID", "c"),
        ("CSeq", "7 INVITE"),
        ("Contact", "<sip:a@192.0.2.1>"),
        *more,
    ]
    return Request("INVITE", Uri.parse("sip:b@b.example"), Headers(items))


def answer(request: Request, *more: tuple[str, str], contact: str = "<sip:b@192.0.2.2;x=1?Subject=y>") -> Response:
    return request.response(200, to_tag="b", headers=[("Contact", contact), *more])


def test_the_caller_reverses_the_record_route_and_the_called_side_does_not() -> None:
    recorded = [("Record-Route", route) for route in ROUTES]
    caller = Dialog.of_client(invite(), answer(invite(), *recorded))
    called = Dialog.of_server(invite(*recorded), "b", "<sip:b@192.0.2.2>")
    assert caller.request("BYE").headers.get_all("Route") == ROUTES[::-1]
    assert called.request("BYE").headers.get_all("Route") == ROUTES
    assert str(caller.next_hop) == "sip:p2.example;lr"


def test_a_request_goes_to_the_contact_without_what_a_request_uri_may_not_carry() -> None:
    dialog = Dialog.of_client(invite(), answer(invite()))
    bye = dialog.request("BYE")
    assert str(bye.uri) == "sip:b@192.0.2.2;x=1"
    assert (bye.from_.tag, bye.to.tag, bye.call_id, str(bye.cseq)) == ("a", "b", "c", "8 BYE")
    assert dialog.request("INFO").cseq.number == 9


def test_a_strict_router_gets_the_request_and_the_target_comes_last() -> None:
    recorded = [("Record-Route", "<sip:old.example;method=INVITE>"), ("Record-Route", ROUTES[0])]
    dialog = Dialog.of_server(invite(*recorded), "b", "<sip:b@192.0.2.2>")
    bye = dialog.request("BYE")
    assert str(bye.uri) == "sip:old.example"
    assert bye.headers.get_all("Route") == (ROUTES[0], "<sip:a@192.0.2.1>")


def test_only_what_refreshes_the_target_carries_and_takes_a_contact() -> None:
    dialog = Dialog.of_server(invite(), "b", "<sip:b@192.0.2.2>")
    assert dialog.request("UPDATE").headers.get("Contact") == "<sip:b@192.0.2.2>"
    assert dialog.request("INFO").headers.get("Contact") is None
    moved = [("Contact", "<sip:a@192.0.2.9>")]
    for number, method, target in ((8, "INFO", "192.0.2.1"), (9, "UPDATE", "192.0.2.9")):
        headers = invite(*moved).headers.with_("Contact", moved[0][1]).with_("CSeq", f"{number} {method}")
        assert dialog.takes(Request(method, Uri.parse("sip:b@192.0.2.2"), headers))
        assert dialog.remote_target.host == target


def test_an_ack_has_the_number_and_the_credentials_of_its_invite() -> None:
    request = invite(("Proxy-Authorization", "Digest x=y"))
    dialog = Dialog.of_client(request, answer(request))
    dialog.request("INFO")
    ack = dialog.ack(request.cseq.number, credentials_of(request))
    assert str(ack.cseq) == "7 ACK"
    assert ack.headers.get("Proxy-Authorization") == "Digest x=y"


def test_an_answer_without_contact_leaves_the_target_where_we_called() -> None:
    response = invite().response(200, to_tag="b")
    assert Dialog.of_client(invite(), response).remote_target == invite().uri


@pytest.mark.parametrize("owns", [True, False])
def test_the_time_after_glare_depends_on_whose_the_call_id_is(owns: bool) -> None:
    low, high = (2.1, 4.0) if owns else (0.0, 2.0)
    assert [glare_delay(owns_call_id=owns, roll=roll) for roll in (0.0, 1.0)] == [low, high]
    assert glare_delay(owns_call_id=owns, roll=0.12345) == pytest.approx(low + 0.12345 * (high - low), abs=0.005)


def test_a_request_is_repeated_with_credentials_in_place_of_old_ones() -> None:
    first = invite(("Via", "SIP/2.0/UDP a;branch=z9hG4bK1"), ("Authorization", "Digest old=1"))
    second = again(first, 8, ("Authorization", "Digest new=1"))
    assert (second.via, str(second.cseq)) == ((), "8 INVITE")
    assert second.headers.get_all("Authorization") == ("Digest new=1",)


UDP = Flow("udp", ("9.9.9.1", 5060), ("9.9.9.2", 5060))
PRIVATE = Flow("udp", ("10.0.0.1", 5060), ("10.0.0.2", 5060))
TCP = Flow("tcp", ("9.9.9.1", 5060), ("9.9.9.2", 4000), 7)


@pytest.mark.parametrize(
    ("flow", "hop", "behind_nat", "expected"),
    [
        (UDP, "sip:9.9.9.2", False, UDP),
        (UDP, "sip:9.9.9.9:5070", False, Flow("udp", UDP.local, ("9.9.9.9", 5070))),
        (UDP, "sip:9.9.9.9:5070", True, UDP),
        (UDP, "sip:192.168.0.9", False, UDP),  # a private address cannot be reached where we are
        (PRIVATE, "sip:10.0.0.9", False, Flow("udp", PRIVATE.local, ("10.0.0.9", 5060))),
        (UDP, "sip:9.9.9.9;transport=tcp", False, Flow("tcp", UDP.local, ("9.9.9.9", 5060))),
        (UDP, "sips:9.9.9.9", False, Flow("tls", UDP.local, ("9.9.9.9", 5061))),
        (UDP, "sip:9.9.9.9;transport=sctp", False, UDP),
        (UDP, "sip:phone.example", False, UDP),
        (TCP, "sip:9.9.9.2:5060;transport=tcp", False, TCP),
        (UDP, "sip:[2001:db8::1]", False, UDP),  # the listener speaks the other IP version
    ],
)
def test_the_next_request_leaves_by(flow: Flow, hop: str, behind_nat: bool, expected: Flow) -> None:
    assert next_flow(flow, Uri.parse(hop), behind_nat=behind_nat) == expected


def test_a_phone_that_comes_back_by_another_connection_is_reached_there() -> None:
    network, alice, bob, calling, called = talking(transport="tcp")
    calling.flow = Flow("tcp", alice.address, bob.address, 2)
    calling.request("INFO", network.now, body=b"x", content_type="text/plain")
    network.run(2.1)
    bob.reply(bob.last_request("INFO").transaction, 200)
    assert called.flow.connection == 2


def credentials(request: Request, response: Response) -> Pairs:
    return [("Authorization", f"Digest {response.headers.get('WWW-Authenticate')}-{request.method}")]


def test_challenges_are_answered_for_the_invite_its_ack_and_the_bye() -> None:
    network, alice, bob = two_phones()
    request = alice.request("INVITE", bob, body=OFFER)
    calling = alice.endpoint.invite(request, alice.flow(bob), network.now, authorize=credentials)
    network.run(0.1)
    bob.reply(bob.last_request("INVITE").transaction, 401, WWW_Authenticate="n=1")
    network.run(0.2)
    second = bob.last_request("INVITE")
    assert (second.request.headers.get("Authorization"), second.request.cseq.number) == ("Digest n=1-INVITE", 2)
    assert second.request.body == OFFER
    bob.reply(second.transaction, 200, ANSWER)
    network.run(1.0)
    assert alice.statuses() == [200]
    assert alice.got(SessionEnded) == []
    calling.request("INFO", network.now)
    network.run(1.1)
    bob.reply(bob.last_request("INFO").transaction, 401, WWW_Authenticate="n=2")
    network.run(1.2)
    info = bob.last_request("INFO")
    assert (info.request.headers.get("Authorization"), info.request.cseq.number) == ("Digest n=2-INFO", 4)
    bob.reply(info.transaction, 200)
    alice.hang_up(calling)
    network.run(2.0)
    assert alice.ending().cause is Ending.HUNG_UP
    assert bob.got(SessionEnded)[-1].cause is Ending.BYE


def test_credentials_that_are_refused_are_not_tried_for_ever() -> None:
    network, alice, bob = two_phones()
    bob.script = lambda _: bob.reply(bob.last_request("INVITE").transaction, 401, WWW_Authenticate="n")
    alice.endpoint.invite(alice.request("INVITE", bob), alice.flow(bob), network.now, authorize=credentials)
    network.run(5.0)
    assert network.wire().count("alice > bob INVITE") == 3
    assert alice.ending().cause is Ending.REFUSED


def test_an_invite_given_up_is_not_tried_again_with_credentials() -> None:
    network, alice, bob = two_phones()
    request = alice.request("INVITE", bob)
    calling = alice.endpoint.invite(request, alice.flow(bob), network.now, authorize=credentials)
    network.run(0.1)
    alice.hang_up(calling)
    bob.reply(bob.last_request("INVITE").transaction, 401, WWW_Authenticate="n=1")
    network.run(5.0)
    assert network.wire().count("alice > bob INVITE") == 1
    assert alice.ending().cause is Ending.HUNG_UP
    assert calling.phase is Phase.ENDED


def test_when_the_connection_is_lost_the_next_request_goes_to_the_contact() -> None:
    network, alice, bob, _, called = talking(transport="tcp")
    alice.endpoint.transport_failed(alice.flow(bob), network.now)
    bob.hang_up(called)
    bob.endpoint.transport_failed(bob.flow(alice), network.now)
    network.run(3.0)
    assert network.wire()[-4:-2] == ["bob > alice BYE", "bob > alice BYE"]
    assert alice.ending().cause is Ending.BYE
    assert bob.got(TransactionFailed) == []
    assert called.flow == Flow("tcp", bob.address, alice.address)


def test_when_the_contact_cannot_be_reached_either_the_request_has_failed() -> None:
    network, alice, bob, calling, called = talking(transport="tcp")
    transaction = called.request("UPDATE", network.now, body=OFFER)
    bob.endpoint.transport_failed(bob.flow(alice), network.now)
    assert (bob.got(TransactionFailed), transaction.session) == ([], called)
    bob.endpoint.transport_failed(Flow("tcp", bob.address, alice.address), network.now)
    network.settle()
    assert [failed.why for failed in bob.got(TransactionFailed)] == [Failure.UNREACHABLE]
    assert bob.ending().cause is Ending.LOST
    assert calling.phase is Phase.UP


def test_a_message_that_cannot_be_sent_fails_alone() -> None:
    network, alice, bob = two_phones()
    first = alice.endpoint.send_request(alice.request("OPTIONS", bob), alice.flow(bob), 0.0)
    second = alice.endpoint.send_request(alice.request("MESSAGE", bob), alice.flow(bob), 0.0)
    alice.endpoint.message_failed(Transmit(second.sent, second.flow), 0.0)
    network.run(1.0)
    assert [failed.transaction for failed in alice.got(TransactionFailed)] == [second]
    bob.reply(bob.last_request("OPTIONS").transaction, 200)
    network.run(2.0)
    assert [event.transaction for event in alice.got(ResponseReceived)] == [first]
