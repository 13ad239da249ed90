#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "clock_rates.hpp"
#include "flow.hpp"
#include "leg_streams.hpp"

namespace engine {

// What a recording has of its two sides, by the statistics of RFC 3550: for its END record. Counts what went into the
// file; what nobody received while it was paused is no loss.
class RecordedSides {
  public:
    explicit RecordedSides(const std::array<ClockRates, 2>& clock_rates) noexcept : clock_rates_(clock_rates) {}

    void receive(Side side, const RtpHeader& header, std::size_t octets, Time arrival) noexcept;
    void pass_over_gap() noexcept;
    void set_clock_rates(Side side, const ClockRates& rates) noexcept { clock_rates_[index_of(side)] = rates; }

    // The value of `sides` in END.
    std::string json() const;

  private:
    std::array<ClockRates, 2> clock_rates_;
    std::array<LegStreams, 2> sides_;
};

}  // namespace engine
