#pragma once

#include <cstddef>
#include <cstdint>
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
        sort();
        for (std::size_t i = 0; i < sorted_.size(); ++i) {
            if (i + kAhead < sorted_.size()) expect(sorted_[i + kAhead].datagram);
            take(sorted_[i]);
        }
    }

  private:
    static constexpr std::size_t kAhead = 2;

    void sort();
    static void expect(Bytes datagram) noexcept;

    std::vector<TappedPacket> packets_;  // as they came
    std::vector<TappedPacket> sorted_;
    std::vector<std::size_t> counts_;  // by TapId; while they are sorted, where the next one has its place
    std::vector<std::size_t> taps_;    // those that have packets
};

}  // namespace engine
