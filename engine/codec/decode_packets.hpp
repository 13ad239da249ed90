// Decodes a row of packets of one stream, each to its place in a buffer, and conceals the gaps that the caller names.
#pragma once

#include <cstdint>
#include <span>

#include "audio.hpp"
#include "decoder.hpp"

namespace codec {

// Columns of equal length, in the order in which the packets were spoken. Places are samples of the buffer, and may lie
// outside of it. `gap`: how many samples to fill from `gap_at` on before the packet is decoded; 0 for none.
struct PacketColumns {
    std::span<const std::int64_t> start, length, at, gap_at, gap;

    std::size_t size() const { return start.size(); }
    bool fits(std::size_t octets) const;
};

// What of a packet lies outside of the buffer is decoded and dropped.
void decode_packets(Decoder& decoder, int rate, Octets data, const PacketColumns& packets, std::span<Sample> buffer);

}  // namespace codec
