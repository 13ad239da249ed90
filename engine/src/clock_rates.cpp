#include "clock_rates.hpp"

namespace engine {

ClockRates::ClockRates() noexcept {
    rates_.fill(kUnknown);
    // RFC 3551 tables 4 and 5; the audio types that are not listed here have 8000 (G.722 does so by mistake,
    // section 4.5.2).
    set(6, 16000);   // DVI4
    set(10, 44100);  // L16, two channels
    set(11, 44100);  // L16
    set(14, 90000);  // MPA
    set(16, 11025);  // DVI4
    set(17, 22050);  // DVI4
    constexpr std::array<std::uint8_t, 7> kVideo{25, 26, 28, 31, 32, 33, 34};
    for (const std::uint8_t video : kVideo) set(video, 90000);
}

}  // namespace engine
