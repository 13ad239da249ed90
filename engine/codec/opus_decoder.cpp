#include "opus_decoder.hpp"

namespace codec {

OpusStreamDecoder::OpusStreamDecoder(::OpusDecoder* state, int rate)
    : state_(state),
      longest_(static_cast<std::size_t>(rate / 25 * 3)),
      shortest_(static_cast<std::size_t>(rate / 400)) {}

std::unique_ptr<OpusStreamDecoder> OpusStreamDecoder::make(int rate) {
    int error = OPUS_OK;
    ::OpusDecoder* state = opus_decoder_create(rate, 1, &error);
    return std::unique_ptr<OpusStreamDecoder>(error != OPUS_OK ? nullptr : new OpusStreamDecoder(state, rate));
}

std::size_t OpusStreamDecoder::decode(Octets payload, std::span<Sample> out) {
    if (payload.empty()) return 0;
    const int count = opus_decode(state_.get(), payload.data(), static_cast<opus_int32>(payload.size()), out.data(),
                                  static_cast<int>(std::min(out.size(), longest_)), 0);
    return count < 0 ? 0 : static_cast<std::size_t>(count);
}

bool OpusStreamDecoder::conceal(Octets next, std::span<Sample> gap) {
    const std::size_t frame = std::max(last_duration(), shortest_);
    const std::size_t corrected = next.empty() || gap.size() < frame ? 0 : frame;  // the copy is of one frame at most
    std::size_t done = 0;
    while (done + corrected + shortest_ <= gap.size()) {
        const std::size_t rest = (gap.size() - corrected - done) / shortest_ * shortest_;
        const std::size_t count = fill({}, gap.subspan(done, std::min(rest, frame)), false);
        if (count == 0) return true;
        done += count;
    }
    if (corrected != 0) fill(next, gap.last(corrected), true);
    return true;
}

std::size_t OpusStreamDecoder::fill(Octets next, std::span<Sample> out, bool corrected) {
    const int count =
        opus_decode(state_.get(), next.empty() ? nullptr : next.data(), static_cast<opus_int32>(next.size()),
                    out.data(), static_cast<int>(out.size()), corrected ? 1 : 0);
    return count < 0 ? 0 : static_cast<std::size_t>(count);
}

std::size_t OpusStreamDecoder::last_duration() const {
    opus_int32 samples = 0;
    opus_decoder_ctl(state_.get(), OPUS_GET_LAST_PACKET_DURATION(&samples));
    return static_cast<std::size_t>(std::max<opus_int32>(samples, 0));
}

}  // namespace codec
