#pragma once

#include "truespeech_frame.hpp"
#include "truespeech_target.hpp"

namespace codec::truespeech {

struct PulseChoice {
    Pulses pulses;
    float error;  // power of what is still missing
};

// The pulses of one quarter, by analysis-by-synthesis.
class PulseSearch {
  public:
    explicit PulseSearch(const Quarter& response) noexcept;

    // Few operations for each pulse: places one after the other where it helps most, then moves each once again.
    PulseChoice choose(const Quarter& wanted) const noexcept;

  private:
    using Products = std::array<Quarter, kQuarterSamples>;

    struct Layout;
    void add_best(Layout& layout, std::size_t slot, float scale) const noexcept;
    void take_out(Layout& layout, std::size_t slot, float scale) const noexcept;
    Layout lay_out(const Layout& empty, float scale) const noexcept;
    void refine(Layout& layout, float scale) const noexcept;

    Quarter response_;
    Quarter powers_{};     // of the response to a unit at each place
    Products products_{};  // of the responses to units at two places
};

}  // namespace codec::truespeech
