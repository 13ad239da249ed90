// TrueSpeech out of the payloads of one stream: frames of 32 octets, 240 samples each, as in WAV format tag 0x0022.
#pragma once

#include "decoder.hpp"
#include "truespeech_decoder.hpp"

namespace codec {

class TruespeechStreamDecoder final : public Decoder {
  public:
    std::size_t capacity(std::size_t octets) const override {
        return octets / truespeech::kFrameBytes * truespeech::kFrameSamples;
    }
    std::size_t decode(Octets payload, std::span<Sample> out) override;

  private:
    truespeech::Decoder decoder_;
};

}  // namespace codec
