#include "gsm_encoder.hpp"

#include <memory>
#include <new>

#include "telephony.hpp"

namespace codec {

namespace {

constexpr std::size_t kRtpFrameOctets = 33;
constexpr std::size_t kWavBlockOctets = 65;

struct Free {
    void operator()(gsm0610_state_t* state) const { gsm0610_free(state); }
};

}  // namespace

std::vector<std::uint8_t> encode_gsm(std::span<const Sample> samples, GsmPacking packing) {
    const bool rtp = packing == GsmPacking::kRtp;
    const std::unique_ptr<gsm0610_state_t, Free> state(
        gsm0610_init(nullptr, rtp ? GSM0610_PACKING_VOIP : GSM0610_PACKING_WAV49));
    if (state == nullptr) throw std::bad_alloc();
    const std::size_t block = block_samples(packing);
    const std::size_t octets = rtp ? kRtpFrameOctets : kWavBlockOctets;
    std::vector<std::uint8_t> out(samples.size() / block * octets);
    // A block at a time: the library counts in int, and a recording may be longer.
    for (std::size_t number = 0; number < samples.size() / block; ++number) {
        gsm0610_encode(state.get(), &out[number * octets], &samples[number * block], static_cast<int>(block));
    }
    return out;
}

}  // namespace codec
