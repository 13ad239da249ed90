"""Digest: the RFC's own numbers, and what an attacker or an old phone may send."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.digest import (
    A1,
    Accepted,
    Algorithm,
    NonceCounts,
    Rejected,
    Stale,
    a1,
    authorize,
    challenge,
    challenges,
    make_nonce,
    verify,
)
from mediaserverd.protocol.sip.headers import Challenge, Credentials
from mediaserverd.protocol.sip.uri import Uri

KEY = b"k" * 32
NOW = 1_800_000_000.0
REALM = "example.org"
URI = "sip:example.org"
HASHES = A1(a1("MD5", "alice", REALM, "secret"), a1("SHA-256", "alice", REALM, "secret"))


def nonce_at(now: float = NOW, salt: bytes = b"saltsalts") -> str:
    return make_nonce(KEY, now, salt)


def alice(
    algorithm: Algorithm = "SHA-256", *, nonce: str = "", nonce_count: int = 1, password: str = "secret"
) -> Credentials:
    offered = challenge(REALM, nonce or nonce_at(), algorithm)
    made = authorize([offered], "REGISTER", URI, "alice", password, cnonce="0a4f113b", nonce_count=nonce_count)
    assert made is not None
    return Credentials.parse(str(made))


def verdict(
    credentials: Credentials, *, now: float = NOW, counts: NonceCounts | None = None, hashes: A1 = HASHES
) -> Accepted | Stale | Rejected:
    counts = NonceCounts() if counts is None else counts
    return verify(credentials, "REGISTER", hashes, realm=REALM, key=KEY, now=now, counts=counts)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_3_9_1_come_out(algorithm: Algorithm, response: str) -> None:
    offered = Challenge.parse(
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f"algorithm={algorithm}, "
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    made = authorize(
        [offered],
        "GET",
        "/dir/index.html",
        "Mufasa",
        "Circle of Life",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert made is not None
    assert made.response == response
    assert made.parameters["opaque"] == "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    assert made.nonce_count == "00000001"


def test_a_server_of_rfc_2069_without_qop_is_still_met() -> None:
    # The example of RFC 2069 as its erratum 749 corrects it.
    offered = Challenge.parse(
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    made = authorize([offered], "GET", "/dir/index.html", "Mufasa", "CircleOfLife", cnonce="unused")
    assert made is not None
    assert made.response == "1949323746fe6a43ef61f9606e7febea"
    assert "nc" not in made.parameters


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_right_credentials_are_accepted(algorithm: Algorithm) -> None:
    credentials = alice(algorithm)
    assert verdict(credentials) == Accepted("alice", credentials.nonce, 1)


def test_the_strongest_challenge_is_answered() -> None:
    offered = challenges(REALM, nonce_at())
    assert [one.algorithm for one in offered] == ["SHA-256", "MD5"]
    made = authorize(offered[::-1], "REGISTER", URI, "alice", "secret", cnonce="1")
    assert made is not None
    assert made.algorithm == "SHA-256"


def test_challenges_that_we_cannot_meet_are_passed_over() -> None:
    unknown = Challenge.parse('Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"')
    integrity = Challenge.parse('Digest realm="r", nonce="n", qop="auth-int"')
    assert authorize([unknown, integrity], "REGISTER", URI, "a", "b", cnonce="1") is None


def test_a_wrong_password_and_an_unknown_user_get_the_same_verdict() -> None:
    wrong = verdict(alice(password="guess"))
    unknown = verdict(alice(), hashes=A1.decoy(KEY))
    assert wrong == unknown
    assert isinstance(wrong, Rejected)


def test_a_repeated_nonce_count_is_stale_and_a_fresh_one_is_not() -> None:
    counts = NonceCounts()
    assert isinstance(verdict(alice(nonce_count=1), counts=counts), Accepted)
    assert verdict(alice(nonce_count=1), counts=counts) == Stale("alice")
    assert isinstance(verdict(alice(nonce_count=3), counts=counts), Accepted)
    assert isinstance(verdict(alice(nonce_count=2), counts=counts), Accepted)
    assert isinstance(verdict(alice(nonce_count=2), counts=counts), Stale)


def test_an_old_nonce_is_stale_only_for_the_right_password() -> None:
    old = nonce_at(NOW - 301)
    assert verdict(alice(nonce=old)) == Stale("alice")
    assert isinstance(verdict(alice(nonce=old, password="guess")), Rejected)


def test_a_nonce_from_the_future_is_not_taken() -> None:
    assert isinstance(verdict(alice(nonce=nonce_at(NOW + 60))), Stale)


@pytest.mark.parametrize(
    "nonce", ["", "x", "ü", nonce_at()[:-1], make_nonce(b"other" * 6, NOW, b"saltsalts"), "A" * 44]
)
def test_a_nonce_that_is_not_ours_is_rejected(nonce: str) -> None:
    parameters = alice().parameters.with_("nonce", f'"{nonce}"')
    assert isinstance(verdict(Credentials("Digest", parameters)), Rejected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("realm", '"elsewhere"'),
        ("qop", "auth-int"),
        ("nc", "1"),
        ("nc", "0000000g"),
        ("cnonce", '""'),
        ("algorithm", "SHA-1"),
        ("response", '"ü"'),
        ("username", '"bob"'),
    ],
)
def test_credentials_with_one_wrong_part_never_pass(name: str, value: str) -> None:
    changed = Credentials("Digest", alice().parameters.with_(name, value))
    outcome = verdict(changed)
    if name == "username":  # the name is proved by the hashes, which the caller looks up by it
        outcome = verdict(changed, hashes=A1(a1("MD5", "bob", REALM, "x"), a1("SHA-256", "bob", REALM, "x")))
    assert isinstance(outcome, Rejected)


def test_credentials_without_qop_are_rejected_because_they_could_be_replayed() -> None:
    assert isinstance(verdict(Credentials("Digest", alice().parameters.without("qop", "nc", "cnonce"))), Rejected)


def test_credentials_for_another_uri_are_rejected_where_that_is_asked_for() -> None:
    outcome = verify(
        alice(), "REGISTER", HASHES, realm=REALM, key=KEY, now=NOW, counts=NonceCounts(), uri=Uri.parse("sip:elsewhere")
    )
    assert isinstance(outcome, Rejected)


def test_the_memory_of_nonces_is_bounded_and_what_it_forgets_is_stale() -> None:
    counts = NonceCounts(limit=10)
    for i in range(50):
        assert counts.use(f"nonce{i}", NOW + i, 1)
    assert len(counts) == 10
    assert not counts.use("nonce3", NOW + 3, 2)
    assert counts.use("nonce49", NOW + 49, 2)


def test_expired_nonces_are_forgotten() -> None:
    counts = NonceCounts()
    for i in range(50):
        counts.use(f"nonce{i}", NOW + i, 1, expired_before=NOW + i - 5)
    assert len(counts) == 6


def test_a_stale_challenge_says_so() -> None:
    parsed = Challenge.parse(str(challenge(REALM, nonce_at(), stale=True, opaque="o")))
    assert (parsed.stale, parsed.realm, parsed.qop, parsed.opaque) == (True, REALM, ("auth",), "o")
