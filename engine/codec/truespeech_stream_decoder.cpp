#include "truespeech_stream_decoder.hpp"

namespace codec {

using truespeech::kFrameBytes;
using truespeech::kFrameSamples;

std::size_t TruespeechStreamDecoder::decode(Octets payload, std::span<Sample> out) {
    const std::size_t frames = std::min(payload.size() / kFrameBytes, out.size() / kFrameSamples);
    for (std::size_t i = 0; i < frames; ++i) {
        const auto frame = truespeech::unpack(payload.subspan(i * kFrameBytes).first<kFrameBytes>());
        decoder_.decode(frame, out.subspan(i * kFrameSamples).first<kFrameSamples>());
    }
    return frames * kFrameSamples;
}

}  // namespace codec
