#include "packets_by_tap.hpp"

namespace engine {

void PacketsByTap::add(const TappedPacket& packet) {
    const auto tap = static_cast<std::size_t>(packet.tap);
    const auto at = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back({.packet = packet});
    if (chains_.size() <= tap) chains_.resize(tap + 1);
    Chain& chain = chains_[tap];
    if (chain.first == kNone) {
        chain.first = at;
        taps_.push_back(tap);
    } else {
        entries_[chain.last].next = at;
    }
    chain.last = at;
}

void PacketsByTap::expect(std::uint32_t entry) const noexcept {
    constexpr std::size_t kCacheLine = 64;
    if (entry == kNone) return;
    const Bytes datagram = entries_[entry].packet.datagram;
    for (std::size_t i = 0; i < datagram.size(); i += kCacheLine) __builtin_prefetch(datagram.data() + i);
}

}  // namespace engine
