"""What holds for every value: printing and reading again gives the value back; order is kept; nothing but SipError."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediaserverd.protocol.sip.grammar import Parameters, SipError, legible, quote, unquote
from mediaserverd.protocol.sip.headers import Challenge, CSeq, MediaType, Reason, RetryAfter, Via
from mediaserverd.protocol.sip.message import Headers, Request, Response, parse_message
from mediaserverd.protocol.sip.uri import NameAddress, Uri, escape_user, unescape

tokens = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
# No CR and LF: no header can carry them. Lone surrogates stand for bytes that are not UTF-8.
texts = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=20)
raw_texts = st.binary(max_size=20).map(
    lambda data: data.replace(b"\r", b"").replace(b"\n", b"").decode("utf-8", "surrogateescape")
)
hosts = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9\-]{0,8}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
ports = st.none() | st.integers(0, 65535)
parameters = st.dictionaries(tokens.map(str.lower), st.none() | texts, max_size=4).map(Parameters)
uri_parameters = st.dictionaries(
    st.text("abc-._", min_size=1, max_size=6), st.none() | st.text("aZ09-_.!~*'()[]/:&+$=", min_size=1), max_size=3
).map(Parameters)
users = st.none() | texts.filter(bool).map(escape_user)
sip_uris = st.builds(Uri, st.sampled_from(["sip", "sips"]), users, st.none(), hosts, ports, uri_parameters)
uris = sip_uris | st.builds(Uri, st.just("tel"), st.from_regex(r"\+[0-9][0-9\-]{0,12}", fullmatch=True))
addresses = st.builds(NameAddress, texts.map(str.strip), uris, parameters)
vias = st.builds(Via, st.sampled_from(["UDP", "TCP", "TLS", "WSS"]), hosts, ports, parameters)
header_names = st.sampled_from(["Subject", "X-A", "x-a", "User-Agent", "Server", "Allow"])
header_values = raw_texts.map(lambda text: text.strip(" \t"))


@given(texts | raw_texts)
def test_quoting_is_undone_by_unquoting(text: str) -> None:
    assert unquote(quote(text)) == text


@given(texts | raw_texts)
def test_escaping_a_user_is_undone_by_reading_it(text: str) -> None:
    assert unescape(escape_user(text)) == text


@given(raw_texts)
def test_a_text_for_people_is_unicode_whatever_bytes_came(text: str) -> None:
    wire = text.encode("utf-8", "surrogateescape")
    assert legible(text).encode().decode() == legible(text)
    assert (legible(text) == text) == (wire == text.encode("utf-8", "replace"))


@given(uris)
def test_a_uri_survives_printing_and_matches_itself(uri: Uri) -> None:
    again = Uri.parse(str(uri))
    assert again == uri
    assert again.matches(uri)
    assert again.address_of_record == uri.address_of_record


@given(addresses)
def test_an_address_survives_printing(address: NameAddress) -> None:
    assert NameAddress.parse(str(address)) == address


@given(vias)
def test_a_via_survives_printing(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(parameters)
def test_parameters_survive_printing(value: Parameters) -> None:
    assert Parameters.parse(str(value)) == value


@given(
    st.builds(CSeq, st.integers(0, 2**31 - 1), tokens)
    | st.builds(MediaType, tokens, tokens, parameters)
    | st.builds(RetryAfter, st.integers(0, 2**32 - 1), st.text("abc ", max_size=5).map(str.strip), parameters)
    | st.builds(Reason, tokens, st.none() | st.integers(0, 999), texts)
    | st.builds(Challenge, tokens, st.dictionaries(tokens.map(str.lower), texts, min_size=1).map(Parameters))
)
def test_a_header_survives_printing(value: CSeq | MediaType | RetryAfter | Reason | Challenge) -> None:
    assert type(value).parse(str(value)) == value


@given(st.lists(st.tuples(header_names, header_values), max_size=12))
def test_headers_keep_their_order_and_values(items: list[tuple[str, str]]) -> None:
    headers = Headers(items)
    assert list(headers) == items
    for name in ("Subject", "X-A", "Allow"):
        assert list(headers.get_all(name)) == [value for other, value in items if other.lower() == name.lower()]
        assert list(headers.without(name)) == [item for item in items if item[0].lower() != name.lower()]
        assert headers.with_(name, "new").get_all(name) == ("new",)


@given(
    st.sampled_from(["INVITE", "BYE", "X-METHOD"]),
    sip_uris,
    st.lists(vias, min_size=1, max_size=3),
    addresses,
    addresses,
    st.lists(st.tuples(header_names, header_values), max_size=6),
    st.binary(max_size=40),
)
def test_a_message_survives_printing(
    method: str,
    uri: Uri,
    via: list[Via],
    caller: NameAddress,
    called: NameAddress,
    more: list[tuple[str, str]],
    body: bytes,
) -> None:
    needed: list[tuple[str, object]] = [("Via", one) for one in via]
    needed += [("From", caller), ("To", called), ("Call-ID", "1@x"), ("CSeq", CSeq(1, method))]
    request = Request(method, uri, Headers([*needed, *more]), body)
    again = parse_message(request.encode())
    assert again == request
    assert (again.from_, again.to, list(again.via)) == (caller, called, via)
    assert isinstance(again, Request)
    response = again.response(200, to_tag="t", headers=more, body=body)
    assert parse_message(response.encode()) == response
    assert isinstance(response, Response)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_sip_error(data: bytes) -> None:
    try:
        message = parse_message(data)
    except SipError:
        return
    assert parse_message(message.encode()) == message
