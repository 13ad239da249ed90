#include "look_back.hpp"

#include <algorithm>
#include <bit>

namespace engine {

std::size_t LookBack::octets_for(std::chrono::milliseconds duration) noexcept {
    const auto wanted = static_cast<std::size_t>(duration.count()) * kOctetsPerSecond / 1000;
    return std::bit_ceil(std::max(wanted, TapRing::kMinBytes));
}

void LookBack::put(const TappedPacket& packet) noexcept {
    // One record makes place at a time: a drain of one octet takes one.
    while (!ring_.put(packet)) ring_.drain(ring_.head(), 1, [](const TappedPacket&) {});
}

std::optional<Time> LookBack::oldest() const noexcept {
    const auto packet = ring_.oldest();
    if (!packet) return std::nullopt;
    return packet->arrival;
}

}  // namespace engine
