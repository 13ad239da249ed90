// GSM 06.10 full rate as RTP carries it (RFC 3551 4.5.8): frames of 33 octets, 160 samples each.
#pragma once

#include "decoder.hpp"
#include "telephony.hpp"

namespace codec {

class GsmDecoder final : public Decoder {
  public:
    static constexpr std::size_t kFrameOctets = 33;
    static constexpr std::size_t kFrameSamples = 160;

    static std::unique_ptr<GsmDecoder> make();
    std::size_t capacity(std::size_t octets) const override { return octets / kFrameOctets * kFrameSamples; }
    std::size_t decode(Octets payload, std::span<Sample> out) override;

  private:
    struct Free {
        void operator()(gsm0610_state_t* state) const { gsm0610_free(state); }
    };
    explicit GsmDecoder(gsm0610_state_t* state) : state_(state) {}
    std::unique_ptr<gsm0610_state_t, Free> state_;
};

}  // namespace codec
