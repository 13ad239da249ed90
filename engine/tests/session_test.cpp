#include "session.hpp"

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using Outcome = Verdict::Outcome;

constexpr PortId kRtpA{Leg::kA, Component::kRtp};
constexpr PortId kRtcpA{Leg::kA, Component::kRtcp};
constexpr PortId kRtpB{Leg::kB, Component::kRtp};
constexpr PortId kRtcpB{Leg::kB, Component::kRtcp};
const Address kPhoneA = at("192.0.2.1", 4000);
const Address kPhoneARtcp = at("192.0.2.1", 4001);
const Address kPhoneB = at("2001:db8::2", 6000);
const Address kPhoneBRtcp = at("2001:db8::2", 6001);

Remote remote(const Address& rtp_address, const Address& rtcp_address, bool mux = false) {
    return {.rtp = rtp_address, .rtcp = rtcp_address, .rtcp_mux = mux};
}

Session call(bool b_muxes = false) {
    Session session;
    session.set_remote(Leg::kA, remote(kPhoneA, kPhoneARtcp), {}, kStart);
    session.set_remote(Leg::kB, remote(kPhoneB, kPhoneBRtcp, b_muxes), {}, kStart);
    return session;
}

}  // namespace

TEST("RTP from one phone leaves from the other side's port towards the other phone") {
    Session session = call();
    const Verdict from_a = session.receive(kRtpA, kPhoneA, rtp({}), kStart);
    CHECK(from_a.outcome == Outcome::kForward && from_a.is_learned);
    CHECK(from_a.flow->from == kRtpB && from_a.flow->to == kPhoneB);
    const Verdict from_b = session.receive(kRtpB, kPhoneB, rtp({}), kStart);
    CHECK(from_b.flow->from == kRtpA && from_b.flow->to == kPhoneA);
}

TEST("a phone behind NAT is answered where it sends from") {
    Session session = call();
    const Address nat = at("198.51.100.7", 61000);
    session.receive(kRtpA, nat, rtp({}), kStart);
    CHECK(session.receive(kRtpB, kPhoneB, rtp({}), kStart).flow->to == nat);
}

TEST("RTCP goes from RTCP port to RTCP port") {
    Session session = call();
    const Verdict verdict = session.receive(kRtcpA, kPhoneARtcp, rtcp(), kStart);
    CHECK(verdict.outcome == Outcome::kForward && !verdict.is_learned);
    CHECK(verdict.flow->from == kRtcpB && verdict.flow->to == kPhoneBRtcp);
    CHECK(session.leg(Leg::kA).counters.rtcp_packets == 1);
    CHECK(session.leg(Leg::kA).streams.sums().packets == 0);
}

TEST("RTCP crosses between a side that multiplexes and one that does not (RFC 5761)") {
    Session session = call(true);
    CHECK(session.receive(kRtcpA, kPhoneARtcp, rtcp(), kStart).flow->from == kRtpB);
    CHECK(session.receive(kRtcpA, kPhoneARtcp, rtcp(), kStart).flow->to == kPhoneB);
    const Verdict from_b = session.receive(kRtpB, kPhoneB, rtcp(), kStart);
    CHECK(from_b.flow->from == kRtcpA && from_b.flow->to == kPhoneARtcp);
}

TEST("what is not RTP is dropped and counted") {
    Session session = call();
    Datagram stun(20, 0);
    CHECK(session.receive(kRtpA, kPhoneA, stun, kStart).outcome == Outcome::kMalformed);
    CHECK(session.receive(kRtpA, kPhoneA, {}, kStart).outcome == Outcome::kMalformed);
    CHECK(session.receive(kRtcpA, kPhoneARtcp, rtp({}), kStart).outcome == Outcome::kMalformed);
    CHECK(session.leg(Leg::kA).counters.malformed == 3);
    CHECK(!session.leg(Leg::kA).last_packet);
}

TEST("a packet from a stranger is dropped, counted, and leaves no trace in the statistics") {
    Session session = call();
    session.receive(kRtpA, kPhoneA, rtp({.sequence = 1}), kStart);
    const Verdict verdict = session.receive(kRtpA, at("203.0.113.9", 5), rtp({.sequence = 99, .ssrc = 666}), kStart);
    CHECK(verdict.outcome == Outcome::kForeign && !verdict.is_tapped);
    CHECK(session.leg(Leg::kA).counters.foreign == 1);
    CHECK(session.leg(Leg::kA).streams.sums().packets == 1);
}

TEST("without the other side's address a packet is undeliverable, counted there, and still tapped") {
    Session session;
    session.set_remote(Leg::kA, remote(kPhoneA, kPhoneARtcp), {}, kStart);
    session.set_tap(TapId{7}, Leg::kA);
    const Verdict verdict = session.receive(kRtpA, kPhoneA, rtp({}), kStart);
    CHECK(verdict.outcome == Outcome::kUndeliverable);
    CHECK(verdict.is_tapped && verdict.flow->tap == TapId{7});
    CHECK(session.leg(Leg::kB).counters.undeliverable == 1);
}

TEST("a tap gets RTP and sender reports of both sides, the caller's first, and no other RTCP") {
    Session session = call();
    session.set_tap(TapId{7}, Leg::kA);
    CHECK(session.receive(kRtpA, kPhoneA, rtp({}), kStart).flow->side == Side::kCaller);
    CHECK(session.receive(kRtpB, kPhoneB, rtp({}), kStart).flow->side == Side::kCalled);
    CHECK(!session.receive(kRtcpA, kPhoneARtcp, rtcp(), kStart).is_tapped);
    CHECK(!session.receive(kRtpA, kPhoneA, rtcp(), kStart).is_tapped);
    const Verdict report = session.receive(kRtcpA, kPhoneARtcp, sender_report(), kStart);
    CHECK(report.is_tapped && report.kind == PacketKind::kSenderReport && report.flow->side == Side::kCaller);
    session.set_tap(TapId{7}, Leg::kB);
    CHECK(session.receive(kRtpA, kPhoneA, rtp({}), kStart).flow->side == Side::kCalled);
    session.clear_tap();
    CHECK(!session.receive(kRtpA, kPhoneA, rtp({}), kStart).is_tapped);
}

TEST("RTCP on the RTP port is never taken for audio, multiplexed or not") {
    Session session = call();
    session.receive(kRtpA, kPhoneA, rtcp(), kStart);
    CHECK(session.leg(Leg::kA).streams.sums().packets == 0);
    CHECK(session.leg(Leg::kA).counters.rtcp_packets == 1);
}

TEST("any payload type passes, and its clock rate is the one that SDP gave") {
    Session session;
    ClockRates rates;
    rates.set(111, 48000);
    session.set_remote(Leg::kA, remote(kPhoneA, kPhoneARtcp), rates, kStart);
    session.set_remote(Leg::kB, remote(kPhoneB, kPhoneBRtcp), {}, kStart);
    for (std::uint8_t type = 0; type < 128; ++type) {
        const Verdict verdict = session.receive(kRtpA, kPhoneA, rtp({.sequence = type, .payload_type = type}), kStart);
        CHECK(verdict.outcome == Outcome::kForward);
    }
    session.receive(kRtpA, kPhoneA, rtp({.sequence = 128, .payload_type = 111}), kStart);
    CHECK(session.leg(Leg::kA).streams.current()->clock_rate() == 48000);
}

}  // namespace engine::test
