"""The ng codec: two encodings, one meaning."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserverd.protocol import ng
from mediaserverd.protocol.ng import Encoding, Message, NgError, Reason, Value

SCALARS = st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc -_", max_size=6), inner, max_size=4),
    max_leaves=12,
)
BODIES: st.SearchStrategy[dict[str, Value]] = st.dictionaries(st.text("abc -_", max_size=6), VALUES, max_size=5)


@pytest.mark.parametrize("encoding", list(Encoding))
@given(body=BODIES)
def test_what_is_encoded_is_decoded_again(encoding: Encoding, body: dict[str, Value]) -> None:
    message = Message("5323_1", body, encoding)
    assert ng.decode(ng.encode(message)) == message


@given(data=st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"c d" + tail))
def test_any_bytes_give_a_message_or_an_ng_error(data: bytes) -> None:
    try:
        message = ng.decode(data)
    except NgError:
        return
    assert ng.decode(ng.encode(message)) == message


def test_bencode_keys_need_not_be_sorted_and_bytes_that_are_no_utf8_survive() -> None:
    data = b"k d3:sdp2:\xff\xfe7:command5:offer4:portl1:7i7eee"
    message = ng.decode(data)
    assert message.body == {"sdp": "\udcff\udcfe", "command": "offer", "port": ["7", 7]}
    assert ng.encode(message) == b"k d7:command5:offer4:portl1:7i7ee3:sdp2:\xff\xfee"


@pytest.mark.parametrize(
    ("data", "reason", "cookie"),
    [
        (b"", Reason.BAD_FORMAT, None),
        (b"cookie", Reason.BAD_FORMAT, None),
        (b" d7:command4:pinge", Reason.BAD_FORMAT, None),
        (b"c" * 300 + b" de", Reason.BAD_FORMAT, None),
        (b"c <xml/>", Reason.BAD_FORMAT, "c"),
        (b"c ", Reason.BAD_FORMAT, "c"),
        (b"c d7:command", Reason.BAD_BENCODE, "c"),
        (b"c d7:command9999999999999999999999:", Reason.BAD_BENCODE, "c"),
        (b"c d-1:e", Reason.BAD_BENCODE, "c"),
        (b"c di1e1:ae", Reason.BAD_BENCODE, "c"),
        (b"c d1:ai1_0ee", Reason.BAD_BENCODE, "c"),
        (b"c d1:a1:bexx", Reason.BAD_BENCODE, "c"),
        (b"c d1:a" + b"l" * 4000, Reason.BAD_BENCODE, "c"),
        (b'c {"command":', Reason.BAD_JSON, "c"),
        (b'c {"a":' + b"[" * 90000, Reason.BAD_JSON, "c"),
        (b'c {"a":' + b"[" * 40 + b"]" * 40 + b"}", Reason.BAD_JSON, "c"),
        (b'c {"a":' + b"9" * 9000 + b"}", Reason.BAD_JSON, "c"),
        (b"c d" + b"x" * ng.MAX_MESSAGE_BYTES, Reason.BAD_FORMAT, None),
    ],
)
def test_broken_messages_get_the_text_that_rtpengine_gives(data: bytes, reason: Reason, cookie: str | None) -> None:
    with pytest.raises(NgError) as caught:
        ng.decode(data)
    assert (caught.value.reason, caught.value.cookie) == (reason, cookie)
    answer = ng.error_message(caught.value)
    assert (answer is None) == (cookie is None)
    if answer is not None:
        assert ng.decode(ng.encode(answer)).body == {"result": "error", "error-reason": reason}


@pytest.mark.parametrize("key", ["call-id", "call id", "call-ID", "call_id", "Call ID"])
def test_space_hyphen_underscore_and_case_are_one_key(key: str) -> None:
    request = ng.request_of(Message("c", {"command": "query", key: "x"}))
    assert request.text("call-id") == "x"


@pytest.mark.parametrize("command", ["start recording", "start-recording", "start_recording", "Start Recording"])
def test_a_command_may_be_written_like_a_key(command: str) -> None:
    assert ng.request_of(Message("c", {"command": command})).command == "start recording"


@pytest.mark.parametrize("body", [{}, {"command": 7}, {"command": ""}, {"Kommando": "ping"}])
def test_a_message_without_command_says_so(body: dict[str, Value]) -> None:
    with pytest.raises(NgError, match=r'Dictionary contains no key "command"') as caught:
        ng.request_of(Message("c", body, Encoding.JSON))
    assert caught.value.encoding is Encoding.JSON


def test_keys_inside_metadata_are_left_alone() -> None:
    request = ng.request_of(Message("c", {"command": "start recording", "metadata": {"Case Id": "7"}}))
    assert request.fields["metadata"] == {"Case Id": "7"}


def test_numbers_are_read_from_both_value_forms() -> None:
    request = ng.request_of(Message("c", {"command": "list", "limit": "7", "delete delay": 3, "TOS": "x"}))
    assert [request.number(name, 32) for name in ("limit", "delete-delay", "tos", "absent")] == [7, 3, 32, 32]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, None),
        ({"flags": ["record-call"]}, True),
        ({"flags": "record call"}, True),
        ({"record call": "yes"}, True),
        ({"record-call": "off"}, False),
        ({"record_call": 1}, True),
        ({"rtpp-flags": "replace-origin record-call=on"}, True),
        ({"rtpp_flags": "record-call RTP/AVP"}, True),
    ],
)
def test_record_call_is_understood_in_every_form(body: dict[str, Value], wanted: bool | None) -> None:
    assert ng.request_of(Message("c", {"command": "offer", **body})).says("record-call") is wanted


def test_a_flag_string_is_taken_apart() -> None:
    written = "RTP/AVP replace-origin ICE=remove direction=[priv pub] rtcp-mux=[demux] trust-address"
    request = ng.request_of(Message("c", {"command": "offer", "ICE": "force", "rtpp-flags": written}))
    assert request.text("transport-protocol") == "RTP/AVP"
    assert request.words("replace") == ("origin",)
    assert request.text("ice") == "force"  # the message's own key wins
    assert request.words("direction") == ("priv", "pub")
    assert request.words("rtcp-mux") == ("demux",)
    assert request.flags == {"trust-address"}


@pytest.mark.parametrize(
    ("written", "fields", "flags"),
    [
        (
            "codec=[transcode=[PCMA PCMU] strip=[EVS]] on",
            {"codec": {"transcode": ["PCMA", "PCMU"], "strip": ["EVS"]}},
            {"on"},
        ),
        ("direction=priv direction=pub", {"direction": ["priv", "pub"]}, set()),
        (
            "sdp-attr=[audio=[add=[a b]]] replace=[ origin ]",
            {"sdp-attr": {"audio": {"add": ["a", "b"]}}, "replace": ["origin"]},
            set(),
        ),
        ("received-from=[IP4 [ x ]] sip-code=200", {"received-from": ["IP4", ["x"]], "sip-code": "200"}, set()),
        ("record-call=on metadata=case:4711|by:me", {"record-call": "on", "metadata": "case:4711|by:me"}, set()),
        ("rtcp-mux=[offer ] ] a] [b", {"rtcp-mux": ["offer"], "": ["b"]}, {"a"}),
        ("=x " + "a=[" * 20, {"": "x", "a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": []}}}}}}}}, set()),
    ],
)
def test_a_flag_string_may_have_brackets_in_brackets_and_broken_ones_are_taken_as_far_as_they_go(
    written: str, fields: dict[str, Value], flags: set[str]
) -> None:
    request = ng.request_of(Message("c", {"command": "offer", "rtpp-flags": written}))
    assert (dict(request.fields), set(request.flags)) == (fields, flags)


def test_load_limit_is_only_said_to_those_who_know_it() -> None:
    modern = ng.request_of(Message("c", {"command": "offer", "supports": ["load limit"]}))
    old = ng.request_of(Message("c", {"command": "offer"}))
    assert ng.refusal(modern, Reason.SESSION_LIMIT) == {
        "result": "load limit",
        "message": "Parallel session limit reached",
    }
    assert ng.refusal(old, Reason.SESSION_LIMIT) == {
        "result": "error",
        "error-reason": "Parallel session limit reached",
    }


def test_a_json_reply_is_one_line_behind_the_cookie() -> None:
    request = ng.request_of(ng.decode(b'c1 {"command":"ping","x":true,"y":null,"z":1.5}'))
    data = ng.encode(request.reply({"result": "pong"}))
    assert data.startswith(b"c1 {")
    assert json.loads(data[3:]) == {"result": "pong"}
    assert (request.fields["x"], request.fields["y"], request.fields["z"]) == (1, "", "1.5")


def test_a_notification_goes_under_the_star() -> None:
    message = ng.notification("media-timeout", "call-1", reason="no RTP for 60 s")
    assert ng.encode(message).startswith(b"* {")
    assert message.body["call-id"] == "call-1"
