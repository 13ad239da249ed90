#include "packets_by_tap.hpp"

#include <utility>

namespace engine {

void PacketsByTap::add(const TappedPacket& packet) {
    const auto tap = static_cast<std::size_t>(packet.tap);
    if (counts_.size() <= tap) counts_.resize(tap + 1);
    if (counts_[tap]++ == 0) taps_.push_back(tap);
    packets_.push_back(packet);
}

// A counting sort.
void PacketsByTap::sort() {
    std::size_t place = 0;
    for (const std::size_t tap : taps_) place += std::exchange(counts_[tap], place);
    sorted_.resize(packets_.size());
    for (const TappedPacket& packet : packets_) sorted_[counts_[static_cast<std::size_t>(packet.tap)]++] = packet;
    for (const std::size_t tap : taps_) counts_[tap] = 0;
    taps_.clear();
    packets_.clear();
}

void PacketsByTap::expect(Bytes datagram) noexcept {
    constexpr std::size_t kCacheLine = 64;
    for (std::size_t i = 0; i < datagram.size(); i += kCacheLine) __builtin_prefetch(datagram.data() + i);
}

}  // namespace engine
