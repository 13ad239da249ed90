#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace engine {

// Integers in the order in which SASF has them.
template <class Integer>
void store_little_endian(std::uint8_t* at, Integer value) noexcept {
    for (std::size_t i = 0; i < sizeof(Integer); ++i) at[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

template <class Integer>
void append_little_endian(std::vector<std::uint8_t>& to, Integer value) {
    for (std::size_t i = 0; i < sizeof(Integer); ++i) to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

}  // namespace engine
