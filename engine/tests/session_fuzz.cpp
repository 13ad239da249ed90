// libFuzzer on the packet function. The oracle: whatever comes in, in whatever order, the session neither reads beyond
// the datagram nor forwards anything that is not RTP or RTCP, and every datagram is counted exactly once.
//
// Input: records of  port | source | milliseconds since the last | length | datagram.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "datagrams.hpp"
#include "session.hpp"

namespace engine::test {

namespace {

constexpr std::size_t kRecordHeader = 4;

constexpr auto kNpos = std::string_view::npos;

void require(bool holds) {
    if (!holds) std::abort();
}

std::uint64_t counted(const Session& session) {
    std::uint64_t sum = 0;
    for (const Leg leg : kLegs) {
        const LegState& state = session.leg(leg);
        sum += state.streams.sums().packets + state.counters.rtcp_packets + state.counters.foreign +
               state.counters.malformed;
    }
    return sum;
}

void receive(Session& session, PortId port, const Address& source, Bytes datagram, Time now) {
    const std::uint64_t before = counted(session);
    const Verdict verdict = session.receive(port, source, datagram, now);
    require(counted(session) == before + 1);
    const bool is_media =
        verdict.outcome == Verdict::Outcome::kForward || verdict.outcome == Verdict::Outcome::kUndeliverable;
    require(!is_media || read_rtp(datagram) || read_rtcp(datagram));
    require(is_media == (verdict.flow != nullptr));
    require(!verdict.is_tapped || verdict.kind == PacketKind::kSenderReport ||
            (is_media && read_rtp(datagram) && !claims_rtcp(datagram)));
    require(!verdict.is_tapped || verdict.kind == PacketKind::kRtp || read_sender_report(datagram));
    if (verdict.outcome == Verdict::Outcome::kForward) require(verdict.flow->to.is_sendable());
    require(verdict.digit == 0 || (is_media && std::string_view("0123456789*#ABCD").find(verdict.digit) != kNpos));
    for (const Leg leg : kLegs) {
        for (const Stream& stream : session.leg(leg).streams.streams()) {
            require(stream.duplicates() + stream.reordered() <= stream.packets());
            require(stream.jitter_ms() >= 0);
        }
    }
}

}  // namespace

}  // namespace engine::test

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace engine;
    using namespace engine::test;
    const std::array<Address, 4> sources{at("192.0.2.1", 4000), at("192.0.2.1", 4001), at("198.51.100.7", 9),
                                         at("::1", 9)};
    Session session;
    session.set_remote(Leg::kA, {.rtp = sources[0], .rtcp = sources[1]}, {}, kStart);
    session.set_tap(TapId{1}, Leg::kA);
    PayloadKinds kinds;
    kinds.add_telephone_event(101);
    for (const Leg leg : kLegs) session.set_payload_kinds(leg, kinds);
    Time now = kStart;
    Bytes rest(data, size);
    while (rest.size() > kRecordHeader) {
        const PortId port{rest[0] % 2 == 0 ? Leg::kA : Leg::kB,
                          rest[0] / 2 % 2 == 0 ? Component::kRtp : Component::kRtcp};
        const Address& source = sources[rest[1] % sources.size()];
        now += std::chrono::milliseconds(rest[2] * 40);
        if (rest[0] >= 0xF0) session.set_remote(port.leg, {.rtp = source, .rtcp_mux = rest[0] % 3 == 0}, {}, now);
        const std::size_t length = std::min<std::size_t>(rest[3], rest.size() - kRecordHeader);
        receive(session, port, source, rest.subspan(kRecordHeader, length), now);
        rest = rest.subspan(kRecordHeader + length);
    }
    return 0;
}
