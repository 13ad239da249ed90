#include "session.hpp"

namespace engine {

Verdict Session::receive(PortId port, const Address& source, Bytes datagram, Time now) noexcept {
    const bool is_rtcp = port.component == Component::kRtcp || claims_rtcp(datagram);
    return is_rtcp ? receive_rtcp(port, source, datagram, now) : receive_rtp(port, source, datagram, now);
}

Verdict Session::receive_rtp(PortId port, const Address& source, Bytes datagram, Time now) noexcept {
    LegState& from = state(port.leg);
    const auto header = read_rtp(datagram);
    if (!header) {
        ++from.counters.malformed;
        return {.outcome = Verdict::Outcome::kMalformed};
    }
    const auto decision = judge(port, source, header->ssrc, now);
    if (decision == Latch::Decision::kForeign) return {.outcome = Verdict::Outcome::kForeign};
    from.streams.receive(*header, datagram.size(), from.clock_rates[header->payload_type], now);
    from.last_packet = now;
    from.is_quiet = from.payload_kinds.is_comfort_noise(header->payload_type);
    Verdict verdict = deliver(port.leg, Component::kRtp, decision == Latch::Decision::kLearned, true);
    verdict.digit = from.payload_kinds.is_telephone_event(header->payload_type)
                        ? from.digits.receive(*header, datagram.subspan(header->size), now)
                        : from.digits.pass(now);
    return verdict;
}

Verdict Session::receive_rtcp(PortId port, const Address& source, Bytes datagram, Time now) noexcept {
    LegState& from = state(port.leg);
    const auto header = read_rtcp(datagram);
    if (!header) {
        ++from.counters.malformed;
        return {.outcome = Verdict::Outcome::kMalformed};
    }
    const auto decision = judge(port, source, header->ssrc, now);
    if (decision == Latch::Decision::kForeign) return {.outcome = Verdict::Outcome::kForeign};
    ++from.counters.rtcp_packets;
    const bool is_rtp_port = port.component == Component::kRtp;
    return deliver(port.leg, Component::kRtcp, is_rtp_port && decision == Latch::Decision::kLearned,
                   read_sender_report(datagram).has_value());
}

Latch::Decision Session::judge(PortId port, const Address& source, std::uint32_t ssrc, Time now) noexcept {
    LegState& from = state(port.leg);
    const auto decision = from.latches[index_of(port.component)].judge(source, ssrc, now);
    if (decision == Latch::Decision::kForeign) ++from.counters.foreign;
    if (decision == Latch::Decision::kLearned) refresh_flows();
    return decision;
}

Verdict Session::deliver(Leg from, Component component, bool is_learned, bool is_wanted) noexcept {
    const Flow& flow = this->flow(from, component);
    const bool is_deliverable = flow.to.is_sendable();
    if (!is_deliverable) ++state(flow.from.leg).counters.undeliverable;
    return {.outcome = is_deliverable ? Verdict::Outcome::kForward : Verdict::Outcome::kUndeliverable,
            .is_learned = is_learned,
            .is_tapped = is_wanted && flow.tap != TapId::kNone,
            .kind = component == Component::kRtp ? PacketKind::kRtp : PacketKind::kSenderReport,
            .flow = &flow};
}

void Session::set_remote(Leg leg, const Remote& remote, const ClockRates& clock_rates, Time now) noexcept {
    LegState& to = state(leg);
    to.rtcp_mux = remote.rtcp_mux;
    to.clock_rates = clock_rates;
    to.latches[index_of(Component::kRtp)].announce(remote.rtp, remote.latching, now);
    to.latches[index_of(Component::kRtcp)].announce(remote.rtcp, remote.latching, now);
    refresh_flows();
}

void Session::set_tap(TapId tap, Leg caller) noexcept {
    tap_ = tap;
    caller_ = caller;
    refresh_flows();
}

void Session::count_sent(Leg to, std::uint64_t sent, std::uint64_t failed) noexcept {
    state(to).counters.sent += sent;
    state(to).counters.send_errors += failed;
}

void Session::refresh_flows() noexcept {
    for (const Leg leg : kLegs) {
        for (const Component component : {Component::kRtp, Component::kRtcp}) {
            flows_[index_of(leg)][index_of(component)] = make_flow(leg, component);
        }
    }
}

Flow Session::make_flow(Leg from, Component component) const noexcept {
    const LegState& to = leg(opposite(from));
    const bool is_rtp = component == Component::kRtp;
    const Component port = is_rtp || to.rtcp_mux ? Component::kRtp : Component::kRtcp;
    return {.from = {opposite(from), port},
            .to = to.latches[index_of(port)].destination(),
            .tap = tap_,
            .side = from == caller_ ? Side::kCaller : Side::kCalled};
}

}  // namespace engine
