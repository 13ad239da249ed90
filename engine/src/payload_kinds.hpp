#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>

namespace engine {

// Which payload types a leg sends that are no voice, as SDP says.
class PayloadKinds {
  public:
    PayloadKinds() noexcept { comfort_noise_.set(kStaticComfortNoise); }

    void add_telephone_event(std::uint8_t payload_type) noexcept { telephone_event_.set(payload_type & 0x7F); }
    void add_comfort_noise(std::uint8_t payload_type) noexcept { comfort_noise_.set(payload_type & 0x7F); }
    bool is_telephone_event(std::uint8_t payload_type) const noexcept { return telephone_event_[payload_type & 0x7F]; }
    bool is_comfort_noise(std::uint8_t payload_type) const noexcept { return comfort_noise_[payload_type & 0x7F]; }

  private:
    static constexpr std::size_t kStaticComfortNoise = 13;  // RFC 3551 section 6

    std::bitset<128> telephone_event_;
    std::bitset<128> comfort_noise_;
};

}  // namespace engine
