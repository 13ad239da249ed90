#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "clock_rates.hpp"
#include "event.hpp"
#include "flow.hpp"
#include "leg_streams.hpp"

namespace engine {

// What a recording has of its two sides: for its END record, and for the owner of the engine. Counts what went into the
// file; what nobody received while it was paused is no loss.
class RecordedSides {
  public:
    explicit RecordedSides(const std::array<ClockRates, 2>& clock_rates) noexcept : clock_rates_(clock_rates) {}

    void receive(Side side, const RtpHeader& header, std::size_t octets, Time arrival) noexcept;
    void pass_over_gap() noexcept;
    void set_clock_rates(Side side, const ClockRates& rates) noexcept { clock_rates_[index_of(side)] = rates; }

    std::array<SideCounts, 2> counts() const noexcept;
    std::string json() const;  // the value of `sides` in END

  private:
    std::array<ClockRates, 2> clock_rates_;
    std::array<LegStreams, 2> sides_;
};

}  // namespace engine
