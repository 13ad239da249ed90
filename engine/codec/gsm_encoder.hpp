// GSM 06.10 full rate out of samples, 160 to a frame. How the 260 bits of a frame become octets is the packing's
// business: RTP gives each frame 33 octets of its own (RFC 3551 4.5.8), WAV gives two frames 65 (format tag 0x31).
#pragma once

#include <vector>

#include "audio.hpp"

namespace codec {

enum class GsmPacking { kRtp, kWav };

constexpr std::size_t block_samples(GsmPacking packing) { return packing == GsmPacking::kRtp ? 160 : 320; }

// Samples that do not fill a block are left out. The encoder begins anew with each call.
std::vector<std::uint8_t> encode_gsm(std::span<const Sample> samples, GsmPacking packing);

}  // namespace codec
