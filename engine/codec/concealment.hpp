// Fills gaps of codecs that have no concealment of their own: the last pitch period goes on, and fades away. Works at
// any rate, on samples already in their place; says nothing about what was lost, only how it sounds.
#pragma once

#include <cstddef>
#include <vector>

#include "audio.hpp"

namespace codec {

class Concealment {
  public:
    explicit Concealment(int rate);

    // Fills audio[from, from + count) out of what is before it, and smooths the seam. Silence where too little is
    // there.
    void fill(std::span<Sample> audio, std::size_t from, std::size_t count);

    // Blends what fill() would have continued with into audio[at...), which was decoded since.
    void blend(std::span<Sample> audio, std::size_t at);

  private:
    std::size_t best_period(std::span<const Sample> history) const;
    float gain(std::size_t place) const;
    float next();

    std::size_t shortest_, longest_;  // pitch periods
    std::size_t compared_;            // samples that a period is found by
    std::size_t steady_, faded_;      // a gap is as loud as before until the first, silent from the second on
    std::size_t blended_;
    std::vector<float> period_;
    std::size_t place_ = 0;  // how far the synthetic signal has got since the gap began
};

}  // namespace codec
