#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "clock_rates.hpp"
#include "digit_reader.hpp"
#include "latch.hpp"
#include "leg_streams.hpp"
#include "payload_kinds.hpp"

namespace engine {

// What SDP says of the remote side of a leg. An address that is not sendable means that none is known.
struct Remote {
    Address rtp;
    Address rtcp;
    bool rtcp_mux = false;
    Latching latching = Latching::kSymmetric;
};

// Packets of a leg that are not in a stream.
struct LegCounters {
    std::uint64_t rtcp_packets = 0;
    std::uint64_t sent = 0;
    std::uint64_t send_errors = 0;
    std::uint64_t undeliverable = 0;  // came for this leg, but its address is not known
    std::uint64_t foreign = 0;
    std::uint64_t malformed = 0;
};

// Everything that a session knows of one side.
struct LegState {
    bool rtcp_mux = false;
    std::array<Latch, 2> latches;  // by Component
    ClockRates clock_rates;
    PayloadKinds payload_kinds;
    DigitReader digits;
    LegStreams streams;
    LegCounters counters;
    std::optional<Time> last_packet;  // accepted RTP
    bool is_quiet = false;            // that was comfort noise (RFC 3389): more may not come while nobody speaks
};

}  // namespace engine
