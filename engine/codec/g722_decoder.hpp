// G.722 at 64 kbit/s, as RTP carries it (RFC 3551 4.5.2): 16 kHz, an octet is two samples.
#pragma once

#include "decoder.hpp"
#include "telephony.hpp"

namespace codec {

class G722Decoder final : public Decoder {
  public:
    static std::unique_ptr<G722Decoder> make();
    std::size_t capacity(std::size_t octets) const override { return 2 * octets; }
    std::size_t decode(Octets payload, std::span<Sample> out) override;

  private:
    struct Free {
        void operator()(g722_decode_state_t* state) const { g722_decode_free(state); }
    };
    explicit G722Decoder(g722_decode_state_t* state) : state_(state) {}
    std::unique_ptr<g722_decode_state_t, Free> state_;
};

}  // namespace codec
