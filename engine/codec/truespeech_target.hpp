#pragma once

#include <array>

#include "truespeech_decoder.hpp"

namespace codec::truespeech {

using Quarter = std::array<float, kQuarterSamples>;
using Memory = std::array<float, kOrder>;  // the newest first

// How an ear weighs an error: less where the speech itself is strong. A(z/kZeros) / A(z/kPoles) over the predictor.
class Weighting {
  public:
    // Filters on; what went before is remembered.
    Quarter apply(const Predictor& predictor, const Quarter& error) noexcept;

  private:
    Memory errors_{}, weighted_{};
};

// The way from excitation to weighted sound in one quarter, as a linear system: what the search for an excitation works
// on. The decoder's rounding and clipping are left out here; the choice between candidates is made with the decoder.
struct Target {
    Quarter wanted;    // what an excitation has to add to what still rings from before
    Quarter response;  // weighted sound of a single unit of excitation
};

Target make_target(const Decoder& decoder, std::size_t quarter, const Weighting& weighting,
                   const Quarter& source) noexcept;

Quarter filter(const Quarter& response, const Quarter& excitation) noexcept;
// The other way round: how much each unit of excitation would agree with `wanted`.
Quarter correlate(const Quarter& response, const Quarter& wanted) noexcept;

float dot(const Quarter& a, const Quarter& b) noexcept;

}  // namespace codec::truespeech
