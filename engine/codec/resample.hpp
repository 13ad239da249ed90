// Resamples by place, not by history: an output sample depends on where it lies in the source and on nothing else, so
// any part of a signal comes out the same whatever was asked for before. The ratio is free: from one rate to another,
// a clock that drifts, or both at once.
#pragma once

#include <cstddef>
#include <vector>

#include "audio.hpp"

namespace codec {

// Windowed sinc, in as many phases as keep the error of rounding to a phase below the noise of telephone codecs: 1024
// at the source's rate give -60 dB at 3.4 kHz of 8.
class Resampler {
  public:
    // `ratio`: source samples per output sample, as the two rates are named. Clocks may drift from it a little.
    explicit Resampler(double ratio);

    // Adds to out[i] the source as it is at place `position` + i * step. Beyond its ends the source is silent.
    void add(std::span<const Sample> source, double position, double step, std::span<Sample> out) const;

    std::size_t reach() const { return taps_ / 2; }  // source samples needed on each side of a place

  private:
    std::size_t taps_;
    unsigned phase_bits_;
    std::vector<float> table_;  // taps of phase 0, of phase 1, ...
};

}  // namespace codec
