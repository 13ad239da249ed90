#pragma once

#include <cstdint>

#include "clock.hpp"
#include "packet.hpp"

namespace engine {

// What one SSRC sent us, by RFC 3550 appendices A.1 (sequence numbers), A.3 (loss) and A.8 (jitter).
//
// Differences from the RFC: a stream counts from its first packet, with no probation, because who may send is the
// latch's decision. Duplicates are told from late packets and don't hide loss. Packets that share the timestamp of the
// one before (the updates of a telephone-event, RFC 4733) don't count for jitter, for they are sampled at no new time.
//
// Limits: a duplicate that comes more than 64 packets late counts as reordered. Sequence numbers that jump by
// kMaxDropout or more (A.1) begin a new count once two in a row agree; what was lost in the jump is unknown and not
// counted.
class Stream {
  public:
    Stream() noexcept = default;
    Stream(const RtpHeader& first, std::uint32_t clock_rate) noexcept;

    // The clock rate is the one of the packet's payload type: it may change within a stream.
    void receive(const RtpHeader& header, std::size_t octets, std::uint32_t clock_rate, Time now) noexcept;

    // Packets went by unseen: the next one begins a new count, in which they are not lost.
    void pass_over_gap() noexcept { has_gap_ = true; }

    std::uint32_t ssrc() const noexcept { return ssrc_; }
    std::uint8_t payload_type() const noexcept { return payload_type_; }
    std::uint32_t clock_rate() const noexcept { return clock_rate_; }
    std::uint64_t packets() const noexcept { return packets_; }
    std::uint64_t octets() const noexcept { return octets_; }
    std::uint64_t duplicates() const noexcept { return duplicates_; }
    std::uint64_t reordered() const noexcept { return reordered_; }
    std::uint64_t restarts() const noexcept { return restarts_; }
    std::uint64_t lost() const noexcept;
    double jitter_ms() const noexcept;
    Time last_packet() const noexcept { return last_packet_; }

  private:
    enum class Place : std::uint8_t { kNew, kLate, kDuplicate, kUnplaced };

    Place place(std::uint16_t sequence) noexcept;
    Place place_behind(std::uint16_t distance) noexcept;
    void restart(std::uint16_t sequence) noexcept;
    void begin_behind_gap(std::uint16_t sequence) noexcept;
    void update_jitter(const RtpHeader& header, std::uint32_t clock_rate, Time now) noexcept;

    // What every packet touches comes first.
    std::uint32_t ssrc_ = 0;
    std::uint32_t clock_rate_ = 0;
    std::uint8_t payload_type_ = 0;
    bool has_transit_ = false;
    bool has_bad_sequence_ = false;
    bool has_gap_ = false;
    std::uint16_t bad_sequence_ = 0;  // the next one that would prove a jump
    std::uint64_t highest_ = 0;       // highest sequence number, extended by cycles
    std::uint64_t recent_ = 0;        // bit n: highest_ - n was received
    std::uint64_t received_ = 0;      // in the present count, without duplicates
    std::uint64_t packets_ = 0;
    std::uint64_t octets_ = 0;
    std::uint32_t last_timestamp_ = 0;
    std::uint32_t transit_ = 0;
    std::uint64_t jitter_ = 0;  // 16 times the jitter in timestamp units (A.8)
    Time last_packet_{};
    std::uint64_t base_ = 0;         // the first of the present count
    std::uint64_t lost_before_ = 0;  // in counts that ended with a jump
    std::uint64_t duplicates_ = 0;
    std::uint64_t reordered_ = 0;
    std::uint64_t restarts_ = 0;
};

}  // namespace engine
