#pragma once

#include <array>
#include <cstdint>

#include "flow.hpp"
#include "leg_state.hpp"

namespace engine {

// What becomes of a received datagram.
struct Verdict {
    enum class Outcome : std::uint8_t {
        kForward,        // send it where the flow says
        kUndeliverable,  // accepted, but the other side's address is not known
        kForeign,        // from an address that the latch does not take
        kMalformed,      // neither RTP nor RTCP
    };

    Outcome outcome;
    bool is_learned = false;  // the leg's RTP port hears from another address than before; tell whoever watches
    bool is_tapped = false;   // a recording or the look-back wants a copy
    char digit = 0;           // that has just been dialled on this leg; tell whoever listens
    PacketKind kind = PacketKind::kRtp;
    const Flow* flow = nullptr;  // for kForward and taps; valid until the session's next call
};

// The relay of one call: two legs, RTP and RTCP of each. It has no sockets, clocks or memory of its own to allocate:
// datagram and time go in, the verdict and the flow come out, and every count is kept here.
//
// Packets pass unchanged. RTCP is told from RTP by RFC 5761 on the RTP port, muxed or not (payload types 64 to 95,
// which that costs, are not assigned), and leaves on the port that the other side expects it on. On an RTCP port only
// RTCP passes. Each of the four ports has a latch of its own. Hold and direction are not looked at: what is sent is
// relayed.
//
// A tap gets accepted RTP of both legs, also what is undeliverable: a caller who speaks before the other side's address
// is known is part of the call. Of RTCP it gets sender reports, which tell the clocks of the two sides. One tap at a
// time.
class Session {
  public:
    Session() noexcept { refresh_flows(); }

    Verdict receive(PortId port, const Address& source, Bytes datagram, Time now) noexcept;

    void set_remote(Leg leg, const Remote& remote, const ClockRates& clock_rates, Time now) noexcept;
    void set_payload_kinds(Leg leg, const PayloadKinds& kinds) noexcept { state(leg).payload_kinds = kinds; }
    void set_tap(TapId tap, Leg caller) noexcept;
    void clear_tap() noexcept { set_tap(TapId::kNone, caller_); }

    // Whoever moves the packets reports what became of those for a leg.
    void count_sent(Leg to, std::uint64_t sent, std::uint64_t failed) noexcept;

    const LegState& leg(Leg leg) const noexcept { return legs_[index_of(leg)]; }
    const Flow& flow(Leg from, Component component) const noexcept {
        return flows_[index_of(from)][index_of(component)];
    }

  private:
    Verdict receive_rtp(PortId port, const Address& source, Bytes datagram, Time now) noexcept;
    Verdict receive_rtcp(PortId port, const Address& source, Bytes datagram, Time now) noexcept;
    Verdict deliver(Leg from, Component component, bool is_learned, bool is_wanted) noexcept;
    Latch::Decision judge(PortId port, const Address& source, std::uint32_t ssrc, Time now) noexcept;
    Flow make_flow(Leg from, Component component) const noexcept;
    void refresh_flows() noexcept;
    LegState& state(Leg leg) noexcept { return legs_[index_of(leg)]; }

    std::array<LegState, 2> legs_;
    std::array<std::array<Flow, 2>, 2> flows_;  // by the leg that a packet comes from, and by what it is
    TapId tap_ = TapId::kNone;
    Leg caller_ = Leg::kA;
};

}  // namespace engine
