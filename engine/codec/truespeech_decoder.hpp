#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "truespeech_frame.hpp"

namespace codec::truespeech {

// Weights of the last eight samples, the newest first, in Q12: sample = excitation + sum of weighted samples.
using Predictor = std::array<std::int16_t, kOrder>;
constexpr int kPredictorShift = 12;

Predictor predictor(const std::array<std::uint8_t, kOrder>& reflection) noexcept;
// True when the integers of `predictor` wrapped: a decoder follows, but it is no filter that anybody wants.
bool overflows(const std::array<std::uint8_t, kOrder>& reflection) noexcept;

// What the decoder remembers of the samples behind one of its three filters, the newest first.
using FilterMemory = std::array<std::int16_t, kOrder>;

// The decoder, to the bit: encoders follow every receiver with it. Sixteen-bit values wrap where decoders in the field
// wrap. Excitation -> 1/A(z) -> A(z/0.55) -> 1/A(z/0.75) -> tilt -> 7/8: the last four are the formant filter.
//
// A plain value: a copy tries a choice out.
class Decoder {
  public:
    static constexpr std::size_t kHistory = kMaxLag + 1;

    void decode(const Frame& frame, std::span<std::int16_t, kFrameSamples> samples) noexcept;

    // The same in steps: begin, four quarters in order, end.
    void begin(const std::array<std::uint8_t, kOrder>& reflection, bool interpolate) noexcept;
    void decode_quarter(std::size_t quarter, int base, int pitch, const Pulses& pulses,
                        std::span<std::int16_t, kQuarterSamples> samples) noexcept;
    void end() noexcept;

    // What the past gives to the next quarter.
    Excitation pitch_excitation(int base, int pitch) const noexcept;

    const Predictor& quarter_predictor(std::size_t quarter) const noexcept { return predictors_[quarter]; }
    const std::array<std::int16_t, kHistory>& history() const noexcept { return history_; }
    const FilterMemory& synthesis_memory() const noexcept { return synthesis_; }
    const FilterMemory& poles_memory() const noexcept { return poles_; }
    // Of the last of the filters: weight of the sample before, in Q16.
    std::int32_t tilt() const noexcept { return tilt_; }

  private:
    void synthesise(const Predictor& predictor, std::span<std::int16_t, kQuarterSamples> samples) noexcept;

    std::array<std::int16_t, kHistory> history_{};  // excitation, the oldest first
    FilterMemory synthesis_{};  // of the formant filter's zeros as well: both remember the same samples
    FilterMemory poles_{};
    Predictor previous_{}, current_{};
    std::array<Predictor, kQuarters> predictors_{};
    std::int32_t tilt_ = 0;
};

// A predictor whose weight k is multiplied by factor^(k + 1): A(z/factor), as decoders compute it.
std::array<std::int32_t, kOrder> damp_for_zeros(const Predictor& predictor) noexcept;  // 0.55
std::array<std::int32_t, kOrder> damp_for_poles(const Predictor& predictor) noexcept;  // 0.75

}  // namespace codec::truespeech
