#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include "tap_ring.hpp"

namespace engine {

// What was last heard in a session that is not recorded, so that a recording can begin before it was asked for. Kept by
// the worker that moves the packets; handed over as a whole when the recording starts.
//
// Limits: kMax of time. The memory is for kOctetsPerSecond, which holds both sides of a G.711 or Opus call and one of
// 16-bit audio; of what sends more, less time is kept. The oldest packet gives way.
class LookBack {
  public:
    static constexpr std::chrono::milliseconds kMax{60'000};
    static constexpr std::size_t kOctetsPerSecond = 32 << 10;

    explicit LookBack(std::chrono::milliseconds duration) : ring_(octets_for(duration)) {}

    static std::size_t octets_for(std::chrono::milliseconds duration) noexcept;

    void put(const TappedPacket& packet) noexcept;
    std::optional<Time> oldest() const noexcept;

    // Shows all packets, oldest first, and forgets them.
    template <class Take>
    void drain(Take&& take) {
        ring_.drain(ring_.head(), ring_.size(), take);
    }

  private:
    TapRing ring_;
};

}  // namespace engine
