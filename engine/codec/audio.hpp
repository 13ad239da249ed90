// What all of this library speaks: 16 bit samples and the octets of payloads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

namespace codec {

using Sample = std::int16_t;
using Octets = std::span<const std::uint8_t>;

inline Sample saturated(int value) {
    return static_cast<Sample>(
        std::clamp<int>(value, std::numeric_limits<Sample>::min(), std::numeric_limits<Sample>::max()));
}

}  // namespace codec
