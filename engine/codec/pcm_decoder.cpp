#include "pcm_decoder.hpp"

namespace codec {

std::size_t TableDecoder::decode(Octets payload, std::span<Sample> out) {
    const std::size_t count = std::min(payload.size(), out.size());
    for (std::size_t i = 0; i < count; ++i) out[i] = values_[payload[i]];
    return count;
}

std::size_t PcmDecoder::decode(Octets payload, std::span<Sample> out) {
    const std::size_t count = std::min(capacity(payload.size()), out.size());
    const std::uint8_t* octet = payload.data();
    for (std::size_t i = 0; i < count; ++i) {
        int sum = 0;
        for (std::size_t channel = 0; channel < channels_; ++channel, octet += 2) {
            sum += static_cast<Sample>(static_cast<std::uint16_t>(octet[0] << 8 | octet[1]));
        }
        out[i] = saturated(sum / static_cast<int>(channels_));
    }
    return count;
}

}  // namespace codec
