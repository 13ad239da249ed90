#pragma once

#include <array>
#include <span>
#include <vector>

#include "truespeech_target.hpp"

namespace codec::truespeech {

// The power of a quarter that each lag explains; index lag - kMinLag.
using LagScores = std::array<float, kBases>;

// From what the decoder remembers: exact where its memory reaches up to the quarter.
LagScores score_lags(const Decoder& decoder, const Target& target) noexcept;

// From the source's own past, flattened by the predictor; `past` ends with the quarter.
constexpr std::size_t kPastSamples = kOrder + kMaxLag + kQuarterSamples;
LagScores score_lags(const Predictor& predictor, std::span<const float, kPastSamples> past) noexcept;

constexpr std::size_t kBasesTried = 2;
// The bases that do best for both quarters of a half.
std::array<int, kBasesTried> best_bases(const LagScores& first, const LagScores& second) noexcept;

struct PitchChoice {
    int pitch = kNoPitch;
    float error = 0;  // power of what is still missing
    Quarter missing{};
};

// What to take from the past under a given base, best first: the two best, kNoPitch being one of the choices.
// While the past holds a silence that is the only one: receivers may have been spared the silence (SASF keeps none),
// and then remember something else.
std::vector<PitchChoice> best_pitches(const Decoder& decoder, const Target& target, int base);

}  // namespace codec::truespeech
