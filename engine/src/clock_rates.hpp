#pragma once

#include <array>
#include <cstdint>

namespace engine {

// Media clock rates by payload type: the static ones of RFC 3551 unless SDP says otherwise.
class ClockRates {
  public:
    static constexpr std::uint32_t kUnknown = 8000;  // telephony's own; only jitter depends on it

    ClockRates() noexcept;
    void set(std::uint8_t payload_type, std::uint32_t rate) noexcept { rates_[payload_type & 0x7F] = rate; }
    std::uint32_t operator[](std::uint8_t payload_type) const noexcept { return rates_[payload_type & 0x7F]; }

  private:
    std::array<std::uint32_t, 128> rates_;
};

}  // namespace engine
