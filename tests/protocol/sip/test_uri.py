"""URIs and addresses: what they are made of, when two are the same, and that printing loses nothing."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.grammar import Parameters, SipError
from mediaserverd.protocol.sip.uri import NameAddress, Uri, escape_user

EQUAL = [  # RFC 3261 19.1.4
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0:0:0:0:1]"),
]
DIFFERENT = [  # RFC 3261 19.1.4
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:a@example.com", "sips:a@example.com"),
    ("sip:a@example.com", "sip:a:@example.com"),
    ("sip:example.com", "sip:@example.com".replace("@", "a@")),
    ("sip:a%2Fb@example.com", "sip:a/b@example.com"),
    ("sip:a@example.com;maddr=192.0.2.1", "sip:a@example.com"),
    ("isbn:1", "isbn:2"),
]
LOSSLESS = [
    "sip:alice:secret%20word@atlanta.example.com:5070;transport=tcp;lr;maddr=192.0.2.1;ttl=15?a=b&c=%3Cd%3E",
    "sip:+1-212-555-1212:1234@gateway.com;user=phone",
    "sip:1212@gateway.com",
    "sip:*21#@pbx.example.com",
    "sip:[2001:db8::10]:5070",
    "sip:host_with_underscore",
    "sip:%E4%BD%A0@example.com",
    "sip:bob@192.0.2.4;ftag=abc==",
    "sips:example.com",
    "tel:+358-555-1234567;postd=pp22",
    "tel:7042;phone-context=example.com",
    "urn:service:sos",
    "http://www.example.com/~a?b#c",
]
MALFORMED = [
    "", "sip:", "sip", "sip:@example.com", "sip:a@", "sip:a b@example.com", "sip:a@exa mple.com", "sip:a@b@c",
    "sip:a@host:99999", "sip:a@host:", "sip:a@host:x", "sip:a@[::1", "sip:a@[12345::]", "sip:a@2001:db8::1",
    "sip:%4@example.com", "sip:a@example.com;", "sip:a@example.com;;lr", "sip:a@example.com;lr;lr",
    "sip:a@example.com;=x", "sip:a@example.com;x=", "sip:a@example.com?", "sip:a@example.com?x",
    "sip:a@-example.com", "tel:", "tel:alice", "1sip:a", ":", "foo:", "foo:a b", "sip:a@example.com\r\nVia: x",
    "sip:é@example.com", "<sip:a@example.com>",
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_uris_match(one: str, other: str) -> None:
    assert Uri.parse(one).matches(Uri.parse(other))
    assert Uri.parse(other).matches(Uri.parse(one))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_uris_do_not_match(one: str, other: str) -> None:
    assert not Uri.parse(one).matches(Uri.parse(other))
    assert not Uri.parse(other).matches(Uri.parse(one))


@pytest.mark.parametrize("text", LOSSLESS)
def test_a_uri_prints_as_it_was_written(text: str) -> None:
    assert str(Uri.parse(text)) == text


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_uri_is_refused(text: str) -> None:
    with pytest.raises(SipError) as caught:
        Uri.parse(text)
    assert caught.value.status == 400


def test_a_uri_is_taken_apart() -> None:
    uri = Uri.parse(LOSSLESS[0])
    assert (uri.user, uri.password, uri.host, uri.port) == ("alice", "secret%20word", "atlanta.example.com", 5070)
    assert (uri.transport, uri.parameters["lr"], uri.parameters["TTL"]) == ("tcp", None, "15")
    assert uri.headers == (("a", "b"), ("c", "%3Cd%3E"))
    assert Uri.parse("sip:[2001:db8::10]:5070").host == "2001:db8::10"
    assert Uri.parse("tel:+358-555").user == "+358-555"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sip:%61lice@Example.COM;transport=tcp?a=b", "sip:alice@example.com"),
        ("sip:a%2fb@example.com:5070", "sip:a%2Fb@example.com:5070"),
        ("sip:Example.com", "sip:example.com"),
        ("sip:[2001:DB8::0:1]", "sip:[2001:db8::1]"),
        ("tel:+1;x=y", "tel:+1;x=y"),
    ],
)
def test_the_address_of_record_is_a_key(text: str, key: str) -> None:
    assert Uri.parse(text).address_of_record == key


@pytest.mark.parametrize("user", ["alice", "a b", "ü@x", "100%", "*21#", "\udcff", "\x00"])
def test_any_text_can_be_a_user(user: str) -> None:
    uri = Uri("sip", escape_user(user), host="example.com")
    assert Uri.parse(str(uri)) == uri
    assert uri.user_text == user


@pytest.mark.parametrize(
    ("text", "name", "uri", "parameters"),
    [
        (
            '"A. G. Bell" <sip:agb@bell-telephone.com> ;tag=a48s',
            "A. G. Bell",
            "sip:agb@bell-telephone.com",
            ";tag=a48s",
        ),
        ("sip:+12125551212@server.phone2net.com;tag=887s", "", "sip:+12125551212@server.phone2net.com", ";tag=887s"),
        ("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "Anonymous", "sip:c8oqz84zk7z@privacy.org", ";tag=hyh8"),
        ("<sip:a@b;lr>", "", "sip:a@b;lr", ""),
        ("Zoë (office) <sip:z@b>", "Zoë (office)", "sip:z@b", ""),
        ('"\\"quoted\\" \\\\ \\x"<sip:a@b>', '"quoted" \\ x', "sip:a@b", ""),
        (
            'sip:a@b;+sip.instance="<urn:uuid:1>";q=0.1',
            "",
            "sip:a@b",
            ';+sip.instance="<urn:uuid:1>";q=0.1',
        ),
    ],
)
def test_an_address_is_taken_apart(text: str, name: str, uri: str, parameters: str) -> None:
    address = NameAddress.parse(text)
    assert (address.display_name, str(address.uri), str(address.parameters)) == (name, uri, parameters)
    assert NameAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "<>", "<sip:a@b", "sip:a@b>", '"x <sip:a@b>', "a, b <sip:a@b>", "<sip:a@b>x", "<sip:a@b>;",
        "<sip:a@b>;tag=", "<sip:a@b>;tag=1;tag=2", "sip:a@b?x=y", "<sip:a@b><sip:c@d>", 'x "y" <sip:a@b>',
        "< sip:a@b>", "a\x07b <sip:a@b>",
    ],
)  # fmt: skip
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(SipError):
        NameAddress.parse(text)


def test_parameters_are_an_immutable_mapping_without_regard_to_case() -> None:
    parameters = Parameters.parse(';Tag=1;lr;text="a \\"b\\""')
    assert dict(parameters) == {"tag": "1", "lr": None, "text": 'a "b"'}
    assert "TAG" in parameters
    assert parameters.get("none", "") == ""
    assert str(parameters.with_("tag", "2").with_("new")) == ';tag=2;lr;text="a \\"b\\"";new'
    assert str(parameters.without("TEXT", "lr")) == ";Tag=1"
    assert str(Parameters([("a", "needs quotes"), ("b", "not")])) == ';a="needs quotes";b=not'
    assert parameters == Parameters.parse(';text="a \\"b\\"";lr;tag=1')
    assert hash(parameters) == hash(Parameters.parse(';text="a \\"b\\"";lr;tag=1'))
