#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "stream.hpp"

namespace engine {

// What a leg received, by SSRC and in sum.
//
// Limit: the last kMaxStreams SSRCs are kept apart; of those before them only the sums remain. More than that in one
// call are a broken or hostile phone, and each costs 200 octets a session.
class LegStreams {
  public:
    static constexpr std::size_t kMaxStreams = 8;

    struct Sums {
        std::uint64_t packets = 0;
        std::uint64_t octets = 0;
        std::uint64_t lost = 0;
        std::uint64_t duplicates = 0;
        std::uint64_t reordered = 0;
    };

    void receive(const RtpHeader& header, std::size_t octets, std::uint32_t clock_rate, Time now) noexcept;
    void pass_over_gap() noexcept;  // what comes next does not count what went by unseen as lost

    Sums sums() const noexcept;
    std::uint64_t ssrc_changes() const noexcept { return ssrc_changes_; }
    std::span<const Stream> streams() const noexcept { return {streams_.data(), count_}; }
    const Stream* current() const noexcept { return count_ == 0 ? nullptr : &streams_[current_]; }

  private:
    std::size_t find(std::uint32_t ssrc) const noexcept;
    std::size_t place_for_new() noexcept;
    static void add(Sums& sums, const Stream& stream) noexcept;

    // In this order, so that a packet of the first SSRC, mostly the only one, touches two cache lines.
    alignas(64) std::size_t count_ = 0;
    std::size_t current_ = 0;
    std::array<Stream, kMaxStreams> streams_;
    std::uint64_t ssrc_changes_ = 0;
    Sums retired_;
};

}  // namespace engine
