#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "flow.hpp"

namespace engine {

// Brings packets of many taps, as they come mixed out of a ring, into the order of their taps; those of one tap stay in
// theirs. A recording is then fetched into the processor's cache once for many packets, which would else cost more than
// what is done with a packet there. The packets themselves are fetched ahead.
class PacketsByTap {
  public:
    void add(const TappedPacket& packet);

    // Shows all packets, and forgets them.
    template <class Take>
    void take_all(Take&& take) {
        for (const std::size_t tap : taps_) {
            for (std::uint32_t at = chains_[tap].first; at != kNone; at = entries_[at].next) {
                expect(entries_[at].next);
                take(entries_[at].packet);
            }
            chains_[tap] = {};
        }
        taps_.clear();
        entries_.clear();
    }

  private:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    struct Entry {
        TappedPacket packet;
        std::uint32_t next = kNone;  // of the same tap
    };
    struct Chain {
        std::uint32_t first = kNone;
        std::uint32_t last = kNone;
    };

    void expect(std::uint32_t entry) const noexcept;

    std::vector<Entry> entries_;
    std::vector<Chain> chains_;      // by TapId
    std::vector<std::size_t> taps_;  // those that have packets
};

}  // namespace engine
