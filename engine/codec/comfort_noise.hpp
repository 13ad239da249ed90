// Comfort noise as RFC 3389 describes it: a level, and a spectrum as reflection coefficients. The same place of the
// same stream always sounds the same.
#pragma once

#include <cstdint>
#include <span>

#include "audio.hpp"

namespace codec {

inline constexpr std::size_t kMaxNoiseOrder = 16;

// Of a payload: the level in -dBov, then one octet for each coefficient.
void comfort_noise(Octets payload, std::uint64_t place, std::span<Sample> out);

}  // namespace codec
