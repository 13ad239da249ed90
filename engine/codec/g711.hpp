// G.711 by table: what each octet stands for. (ITU-T G.711; the values are those of the 16 bit scale.)
#pragma once

#include <array>

#include "audio.hpp"

namespace codec {

using ValueTable = std::array<Sample, 256>;

constexpr ValueTable mu_law_values() {
    ValueTable values{};
    for (int octet = 0; octet < 256; ++octet) {
        const int code = ~octet & 0xFF;
        const int magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 0x07)) - 0x84;
        values[static_cast<std::size_t>(octet)] = static_cast<Sample>((code & 0x80) != 0 ? -magnitude : magnitude);
    }
    return values;
}

constexpr ValueTable a_law_values() {
    ValueTable values{};
    for (int octet = 0; octet < 256; ++octet) {
        const int code = octet ^ 0x55;
        const int segment = (code >> 4) & 0x07;
        const int step = (code & 0x0F) << 4;
        const int magnitude = segment == 0 ? step + 8 : (step + 0x108) << (segment - 1);
        values[static_cast<std::size_t>(octet)] = static_cast<Sample>((code & 0x80) != 0 ? magnitude : -magnitude);
    }
    return values;
}

inline constexpr ValueTable kMuLawValues = mu_law_values();
inline constexpr ValueTable kALawValues = a_law_values();

}  // namespace codec
