#include "gsm_decoder.hpp"

namespace codec {

std::unique_ptr<GsmDecoder> GsmDecoder::make() {
    gsm0610_state_t* state = gsm0610_init(nullptr, GSM0610_PACKING_VOIP);
    return std::unique_ptr<GsmDecoder>(state == nullptr ? nullptr : new GsmDecoder(state));
}

std::size_t GsmDecoder::decode(Octets payload, std::span<Sample> out) {
    const std::size_t frames = std::min(payload.size() / kFrameOctets, out.size() / kFrameSamples);
    const int octets = static_cast<int>(frames * kFrameOctets);
    const int count = gsm0610_decode(state_.get(), out.data(), payload.data(), octets);
    return count < 0 ? 0 : static_cast<std::size_t>(count);
}

}  // namespace codec
