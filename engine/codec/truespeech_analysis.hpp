#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "truespeech_frame.hpp"

namespace codec::truespeech {

// What the predictor of a frame is chosen from.
constexpr std::size_t kWindowSamples = 320;

// The reflection coefficients whose predictor, as decoders compute it, leaves the least of `window` unpredicted.
std::array<std::uint8_t, kOrder> choose_reflection(std::span<const float, kWindowSamples> window) noexcept;

}  // namespace codec::truespeech
