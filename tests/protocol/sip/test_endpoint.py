"""What an endpoint does with single messages: where answers go, what is matched to what, what is refused at once."""

from __future__ import annotations

from itertools import count

import pytest

from mediaserverd.protocol.sip.endpoint import (
    AckReceived,
    Ending,
    Endpoint,
    Failure,
    Flow,
    Malformed,
    RequestReceived,
    ResponseReceived,
    SessionEnded,
    TransactionFailed,
    Transmit,
)
from mediaserverd.protocol.sip.message import Request, Response, parse_message
from mediaserverd.protocol.sip.uri import Uri
from tests.protocol.sip.network import two_phones

HERE = ("192.0.2.10", 5060)
THERE = ("192.0.2.1", 5060)
UDP = Flow("udp", HERE, THERE)
TCP = Flow("tcp", HERE, ("192.0.2.1", 40000), 7)


def endpoint(max_transactions: int = 100) -> Endpoint:
    serial = count()
    return Endpoint({"udp": HERE, "tcp": HERE}, lambda: f"t{next(serial)}", max_transactions=max_transactions)


def wire(
    method: str,
    *,
    via: str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone",
    uri: str = "sip:bob@192.0.2.10",
    to: str = "<sip:bob@192.0.2.10>",
    from_tag: str = "a",
    call_id: str = "c1",
    cseq: int = 1,
    extra: str = "Contact: <sip:alice@192.0.2.1>\r\n",
) -> bytes:
    return (
        f"{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:alice@192.0.2.1>;tag={from_tag}\r\n"
        f"To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{extra}Content-Length: 0\r\n\r\n"
    ).encode()


def sent(subject: Endpoint) -> list[tuple[Request | Response, Flow]]:
    return [(parse_message(out.data), out.flow) for out in subject.drain() if isinstance(out, Transmit)]


def answers(subject: Endpoint) -> list[int]:
    return [message.status for message, _ in sent(subject) if isinstance(message, Response)]


def received(subject: Endpoint) -> RequestReceived:
    (event,) = [out for out in subject.drain() if isinstance(out, RequestReceived)]
    return event


@pytest.mark.parametrize(
    ("via", "source", "answered_to", "stamp"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1", UDP, ("192.0.2.1", 5070), ""),
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", UDP, ("192.0.2.1", 5060), ""),
        ("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1", UDP, ("192.0.2.1", 5070), ";received=192.0.2.1"),
        ("SIP/2.0/UDP phone.example;branch=z9hG4bK1", UDP, ("192.0.2.1", 5060), ";received=192.0.2.1"),
        (
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport",
            Flow("udp", HERE, ("192.0.2.1", 12345)),
            ("192.0.2.1", 12345),
            ";rport=12345;received=192.0.2.1",
        ),
        ("SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK1", TCP, ("192.0.2.1", 40000), ""),
    ],
)
def test_an_answer_goes_back_the_way_the_top_via_and_the_source_say(
    via: str, source: Flow, answered_to: tuple[str, int], stamp: str
) -> None:
    subject = endpoint()
    subject.receive_bytes(wire("OPTIONS", via=via + ", SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK0"), source, 0.0)
    subject.reply(received(subject).transaction, 200, 0.0)
    ((answer, flow),) = sent(subject)
    assert flow == Flow(source.transport, HERE, answered_to, source.connection)
    assert [str(each) for each in answer.via] == [via.replace(";rport", "") + stamp, str(answer.via[1])]


def test_when_the_connection_is_gone_the_sender_is_called_back_at_its_sent_by() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE", via="SIP/2.0/TCP 10.0.0.1:5062;branch=z9hG4bK1"), TCP, 0.0)
    transaction = received(subject).transaction
    subject.transport_failed(TCP, 1.0)
    subject.reply(transaction, 486, 2.0)
    ((_, flow),) = sent(subject)
    assert flow == Flow("tcp", HERE, ("192.0.2.1", 5062))


def test_when_it_cannot_be_called_back_the_invite_is_over() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE", via="SIP/2.0/TCP 10.0.0.1:5062;branch=z9hG4bK1"), TCP, 0.0)
    subject.drain()
    subject.transport_failed(TCP, 1.0)
    subject.transport_failed(Flow("tcp", HERE, ("192.0.2.1", 5062)), 1.0)
    (ended,) = subject.drain()
    assert isinstance(ended, SessionEnded)
    assert ended.cause is Ending.UNREACHABLE
    assert (subject.transactions, subject.sessions) == (0, 0)


def test_a_repeated_request_gets_the_same_answer_and_is_told_once() -> None:
    subject = endpoint()
    for _ in range(2):
        subject.receive_bytes(wire("OPTIONS"), UDP, 0.0)
    subject.reply(received(subject).transaction, 200, 0.1)
    (first,) = subject.drain()
    subject.receive_bytes(wire("OPTIONS"), UDP, 0.2)
    assert subject.drain() == [first]


@pytest.mark.parametrize("branch", [";branch=z9hG4bKone", ";branch=1", ""])
def test_the_ack_of_a_refusal_is_matched_for_old_callers_too(branch: str) -> None:
    subject = endpoint()
    via = "SIP/2.0/UDP 192.0.2.1:5060" + branch
    subject.receive_bytes(wire("INVITE", via=via), UDP, 0.0)
    subject.reply(received(subject).transaction, 486, 0.0)
    subject.drain()
    subject.receive_bytes(wire("ACK", via=via, to="<sip:bob@192.0.2.10>;tag=t1"), UDP, 0.1)
    subject.advance(1.0)
    assert subject.drain() == []  # an unmatched ACK would let it be repeated


@pytest.mark.parametrize("branch", [";branch=1", ""])
def test_two_requests_of_an_old_caller_are_two(branch: str) -> None:
    subject = endpoint()
    via = "SIP/2.0/UDP 192.0.2.1:5060" + branch
    subject.receive_bytes(wire("OPTIONS", via=via, cseq=1), UDP, 0.0)
    subject.receive_bytes(wire("OPTIONS", via=via, cseq=2), UDP, 0.0)
    assert len(subject.drain()) == 2


def test_the_same_branch_from_another_sender_is_another_transaction() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("OPTIONS"), UDP, 0.0)
    via = "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKone"
    subject.receive_bytes(wire("OPTIONS", via=via, call_id="c2"), UDP, 0.0)
    assert len(subject.drain()) == 2


def test_a_request_that_came_by_two_ways_is_refused_the_second_time() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE"), UDP, 0.0)
    assert received(subject).session is not None
    subject.receive_bytes(wire("INVITE", via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtwo"), UDP, 0.1)
    assert answers(subject) == [482]


def test_too_many_transactions_are_refused_with_the_time_to_come_back() -> None:
    subject = endpoint(max_transactions=1)
    subject.receive_bytes(wire("OPTIONS"), UDP, 0.0)
    assert received(subject).request.method == "OPTIONS"
    subject.receive_bytes(wire("INVITE", via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtwo", call_id="c2"), UDP, 0.0)
    ((answer, _),) = sent(subject)
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
    assert answer.to.tag
    assert subject.transactions == 1


def test_a_call_that_is_up_can_end_when_there_are_too_many_transactions() -> None:
    subject = endpoint(max_transactions=1)
    subject.receive_bytes(wire("INVITE"), UDP, 0.0)
    invite = received(subject)
    assert invite.session is not None
    subject.reply(invite.transaction, 200, 0.0)
    subject.drain()
    to = f"<sip:bob@192.0.2.10>;tag={invite.session.local_tag}"
    subject.receive_bytes(wire("BYE", via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbye", to=to, cseq=2), UDP, 1.0)
    assert answers(subject) == [200]


@pytest.mark.parametrize(("method", "status"), [("INVITE", 407), ("REGISTER", 401)])
def test_a_stranger_is_answered_once_and_nothing_is_kept_of_it(method: str, status: int) -> None:
    subject = endpoint()
    for now in (0.0, 0.5):  # a copy is a new request: the first answer may have been lost
        subject.receive_bytes(wire(method), UDP, now)
        subject.reply(received(subject).transaction, status, now, once=True)
        assert answers(subject) == [status]
    assert subject.transactions == subject.sessions == 0
    subject.advance(100.0)
    subject.receive_bytes(wire("ACK", to="<sip:bob@192.0.2.10>;tag=t0"), UDP, 100.0)
    assert subject.drain() == []


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS", "NOTIFY"])
def test_a_request_in_a_dialog_that_does_not_exist_gets_481(method: str) -> None:
    subject = endpoint()
    subject.receive_bytes(wire(method, to="<sip:bob@192.0.2.10>;tag=gone"), UDP, 0.0)
    assert answers(subject) == [481]
    assert subject.transactions == 0


def test_the_right_tags_with_a_wrong_one_get_481() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE"), UDP, 0.0)
    invite = received(subject)
    assert invite.session is not None
    to = f"<sip:bob@192.0.2.10>;tag={invite.session.local_tag}"
    via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbye"
    subject.receive_bytes(wire("BYE", via=via, to=to, from_tag="stranger", cseq=2), UDP, 0.0)
    assert answers(subject) == [481]


def test_a_register_with_a_tag_in_to_is_still_a_register() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("REGISTER", to="<sip:bob@192.0.2.10>;tag=odd"), UDP, 0.0)
    assert received(subject).request.method == "REGISTER"


def test_a_cancel_of_nothing_gets_481() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("CANCEL"), UDP, 0.0)
    assert answers(subject) == [481]


def test_a_cancelled_invite_gets_487_with_the_tag_of_the_session_and_a_late_answer_is_dropped() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE"), UDP, 0.0)
    invite = received(subject)
    assert invite.session is not None
    subject.receive_bytes(wire("CANCEL"), UDP, 0.1)
    subject.reply(invite.transaction, 200, 0.1)
    messages = [message for message, _ in sent(subject)]
    assert [message.status for message in messages if isinstance(message, Response)] == [200, 487]
    assert {message.to.tag for message in messages} == {invite.session.local_tag}
    subject.advance(0.4)
    assert subject.sessions == 0


def test_an_ack_of_nothing_is_dropped() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("ACK", to="<sip:bob@192.0.2.10>;tag=gone"), UDP, 0.0)
    assert subject.drain() == []


def test_a_request_out_of_order_gets_500() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE", cseq=5), UDP, 0.0)
    invite = received(subject)
    assert invite.session is not None
    subject.reply(invite.transaction, 200, 0.0)
    subject.drain()
    to = f"<sip:bob@192.0.2.10>;tag={invite.session.local_tag}"
    subject.receive_bytes(wire("INFO", via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2", to=to, cseq=4), UDP, 1.0)
    assert answers(subject) == [500]


def test_a_second_invite_before_the_first_is_answered_gets_500_and_a_time() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE"), UDP, 0.0)
    invite = received(subject)
    assert invite.session is not None
    to = f"<sip:bob@192.0.2.10>;tag={invite.session.local_tag}"
    subject.receive_bytes(wire("INVITE", via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2", to=to, cseq=2), UDP, 0.1)
    ((answer, _),) = sent(subject)
    assert isinstance(answer, Response)
    assert answer.status == 500
    assert 0 <= int(answer.headers.get("Retry-After") or "-1") <= 10


def test_an_invite_without_contact_is_refused_and_told() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE", extra=""), UDP, 0.0)
    malformed, transmit = subject.drain()
    assert isinstance(malformed, Malformed)
    assert isinstance(transmit, Transmit)
    assert transmit.data.startswith(b"SIP/2.0 400 ")


def test_a_broken_request_is_answered_and_told() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("OPTIONS").replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), UDP, 0.0)
    malformed, transmit = subject.drain()
    assert isinstance(malformed, Malformed)
    assert (malformed.source, malformed.error.status) == (UDP, 400)
    assert isinstance(transmit, Transmit)
    assert transmit.data.startswith(b"SIP/2.0 400 ")


@pytest.mark.parametrize("data", [b"", b"\x00" * 99, b"SIP/2.0 200 OK\r\n\r\n", wire("ACK").replace(b"1 ACK", b"x")])
def test_what_cannot_be_answered_is_told_and_dropped(data: bytes) -> None:
    subject = endpoint()
    subject.receive_bytes(data, UDP, 0.0)
    (malformed,) = subject.drain()
    assert isinstance(malformed, Malformed)


def test_a_response_to_nothing_or_with_a_second_via_is_dropped() -> None:
    network, alice, bob = two_phones()
    transaction = alice.endpoint.send_request(alice.request("OPTIONS", bob), alice.flow(bob), 0.0)
    network.settle()
    response = transaction.request.response(200, to_tag="b")
    stray = Response(200, "OK", response.headers.with_added("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx"))
    alice.endpoint.receive(stray, alice.flow(bob), 0.0)
    other = Response(200, "OK", response.headers.with_("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKother"))
    alice.endpoint.receive(other, alice.flow(bob), 0.0)
    network.settle()
    assert alice.got(ResponseReceived) == []
    alice.endpoint.receive(response, alice.flow(bob), 0.0)
    alice.endpoint.receive(response, alice.flow(bob), 0.0)
    network.settle()
    assert alice.statuses() == [200]


def test_a_request_that_is_not_answered_fails_once() -> None:
    network, alice, bob = two_phones()
    del network.phones[bob.address]
    transaction = alice.endpoint.send_request(alice.request("OPTIONS", bob), alice.flow(bob), 0.0)
    network.run(100.0)
    assert alice.got(TransactionFailed) == [TransactionFailed(transaction, Failure.TIMEOUT)]
    assert alice.endpoint.transactions == 0


def test_a_request_that_cannot_be_sent_fails_at_once() -> None:
    network, alice, bob = two_phones()
    transaction = alice.endpoint.send_request(alice.request("OPTIONS", bob), alice.flow(bob), 0.0)
    alice.endpoint.transport_failed(alice.flow(bob), 0.0)
    network.settle()
    assert alice.got(TransactionFailed) == [TransactionFailed(transaction, Failure.UNREACHABLE)]


def test_our_via_asks_for_rport_and_names_our_address() -> None:
    network, alice, bob = two_phones()
    transaction = alice.endpoint.send_request(alice.request("OPTIONS", bob), alice.flow(bob), 0.0)
    via = transaction.request.top_via
    assert (via.protocol, via.sent_by, via.wants_rport) == ("UDP", "192.0.2.1:5060", True)
    assert (via.branch or "").startswith("z9hG4bK")
    assert transaction.request.max_forwards == 70
    assert network.log == []


def test_a_request_without_hops_left_and_one_that_goes_round_are_refused() -> None:
    _, alice, bob = two_phones()
    sent_on = alice.endpoint.send_request(alice.request("MESSAGE", bob), alice.flow(bob), 0.0).request
    fresh = alice.request("MESSAGE", bob, Max_Forwards="0")
    assert alice.endpoint.hop_refusal(sent_on) == 482
    assert bob.endpoint.hop_refusal(sent_on) is None
    assert bob.endpoint.hop_refusal(fresh) == 483
    assert bob.endpoint.hop_refusal(alice.request("OPTIONS", bob, Max_Forwards="0")) is None
    elsewhere = Request("MESSAGE", Uri.parse("sip:carol@192.0.2.1"), sent_on.headers)
    assert alice.endpoint.hop_refusal(elsewhere) is None  # a spiral, not a loop: it asks for somebody else


def test_the_ack_of_an_old_caller_for_a_success_reaches_the_session() -> None:
    subject = endpoint()
    subject.receive_bytes(wire("INVITE", via="SIP/2.0/UDP 192.0.2.1:5060"), UDP, 0.0)
    invite = received(subject)
    subject.reply(invite.transaction, 200, 0.0)
    subject.drain()
    assert invite.session is not None
    to = f"<sip:bob@192.0.2.10>;tag={invite.session.local_tag}"
    for _ in range(2):
        subject.receive_bytes(wire("ACK", via="SIP/2.0/UDP 192.0.2.1:5060", to=to), UDP, 0.1)
    (event,) = subject.drain()
    assert isinstance(event, AckReceived)
    assert event.session is invite.session
