// Opus (RFC 6716, RFC 7587), decoded to mono at any of its rates, with its own concealment and in-band error
// correction.
#pragma once

#include <opus/opus.h>

#include "decoder.hpp"

namespace codec {

class OpusStreamDecoder final : public Decoder {
  public:
    static std::unique_ptr<OpusStreamDecoder> make(int rate);
    std::size_t capacity(std::size_t) const override { return longest_; }
    std::size_t decode(Octets payload, std::span<Sample> out) override;
    bool conceal(Octets next, std::span<Sample> gap) override;

  private:
    struct Free {
        void operator()(::OpusDecoder* state) const { opus_decoder_destroy(state); }
    };
    OpusStreamDecoder(::OpusDecoder* state, int rate);
    std::size_t fill(Octets next, std::span<Sample> out, bool corrected);
    std::size_t last_duration() const;

    std::unique_ptr<::OpusDecoder, Free> state_;
    std::size_t longest_;   // 120 ms
    std::size_t shortest_;  // 2.5 ms, of which every duration is a multiple
};

}  // namespace codec
