#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace codec::truespeech {

constexpr std::size_t kFrameSamples = 240;  // 30 ms at 8 kHz
constexpr std::size_t kFrameBytes = 32;
constexpr std::size_t kOrder = 8;  // of the short-term predictor
constexpr std::size_t kQuarters = 4;
constexpr std::size_t kQuarterSamples = kFrameSamples / kQuarters;
constexpr std::size_t kHalfSamples = kQuarterSamples / 2;  // of a quarter

constexpr int kNoPitch = 127;  // a quarter's pitch index that means: nothing is taken from the past
constexpr int kPitchIndices = 127;
constexpr int kTapPairs = 25;  // a smaller pitch index is kTapPairs * (lag above the base) + pair of taps
constexpr int kMinLag = 18;    // of the nearer tap; the other one is one sample further back
constexpr int kMaxLag = 145;
constexpr int kBases = kMaxLag - kMinLag + 1;  // larger bases are read as the largest lag

constexpr std::size_t kFirstPulses = 3;   // in the first half of a quarter
constexpr std::size_t kSecondPulses = 4;  // in its second half
constexpr std::size_t kPulses = kFirstPulses + kSecondPulses;
constexpr int kPulseGains = 16;

// The pulses of one quarter. A rank says which of the ways to choose places in a half is meant, in lexical order
// (combinatorial number system): 4060 ways for three places in 30, 27405 for four. Higher ranks fit in the field, but
// place fewer pulses. A code is 0..3 for +1, +3, -1, -3 times the gain: no pulse is zero.
struct Pulses {
    std::uint16_t first_rank = 0;
    std::uint16_t second_rank = 0;
    std::array<std::uint8_t, kPulses> codes{};  // of the pulses in the order of their places
    std::uint8_t gain = 0;

    bool operator==(const Pulses&) const = default;
};

// What one frame says. Every 32 bytes are a frame, and two frames never share their bytes. They are eight
// little-endian words, each filled from its highest bit (numbers are bits):
//
//     word 0    reflection 7 (3) 6 (3) 5 (3) 4 (4) 3 (4) 2 (4) 1 (5) 0 (5)    interpolate (1)
//     word 1    high half of base 0 (4)    pitch of quarters 3 (7) 2 (7) 1 (7) 0 (7)
//     word 2    low half of base 1 (4)     codes of quarters 1 (14) 0 (14), the first pulse highest
//     word 3    high half of base 1 (4)    codes of quarters 3 (14) 2 (14)
//     word 4+q  bit q of base 0 (1)        first rank (12) second rank (15) gain (4) of quarter q
struct Frame {
    std::array<std::uint8_t, kOrder> reflection{};
    bool interpolate = false;
    std::array<std::uint8_t, 2> base{};  // of the lags of quarters 0 and 1, and of 2 and 3
    std::array<std::uint8_t, kQuarters> pitch{};
    std::array<Pulses, kQuarters> pulses{};

    bool operator==(const Frame&) const = default;
};

using FrameBytes = std::array<std::uint8_t, kFrameBytes>;
FrameBytes pack(const Frame& frame) noexcept;
Frame unpack(std::span<const std::uint8_t, kFrameBytes> bytes) noexcept;

// Samples of a quarter before any filter.
using Excitation = std::array<std::int16_t, kQuarterSamples>;
Excitation place(const Pulses& pulses) noexcept;
std::uint16_t rank(std::span<const std::uint8_t> places) noexcept;  // ascending, each below kHalfSamples
std::int16_t pulse_scale(int gain) noexcept;

// The codebook of the reflection coefficient `index`, in Q15, ascending.
std::span<const std::int16_t> reflection_codebook(std::size_t index) noexcept;

// Weights of two neighbouring samples of the past, in Q14.
struct Taps {
    std::int16_t further, nearer;
};
constexpr int kTapsShift = 14;
Taps taps(int pair) noexcept;

}  // namespace codec::truespeech
