#include "truespeech_encoder.hpp"

#include <algorithm>
#include <functional>

#include "truespeech_analysis.hpp"
#include "truespeech_pitch.hpp"
#include "truespeech_pulses.hpp"

namespace codec::truespeech {

void Encoder::encode(std::span<const std::int16_t> samples, std::vector<std::uint8_t>& frames) {
    while (!samples.empty()) {
        const auto taken = samples.first(std::min(samples.size(), kBuffer - buffer_.size()));
        buffer_.insert(buffer_.end(), taken.begin(), taken.end());
        samples = samples.subspan(taken.size());
        if (buffer_.size() < kBuffer) return;
        const FrameBytes frame = pack(encode_frame());
        frames.insert(frames.end(), frame.begin(), frame.end());
        buffer_.erase(buffer_.begin(), buffer_.begin() + kFrameSamples);
    }
}

void Encoder::finish(std::vector<std::uint8_t>& frames) {
    const std::size_t left = buffer_.size() - kBefore;
    const std::size_t wanted = frames.size() + (left + kFrameSamples - 1) / kFrameSamples * kFrameBytes;
    const std::array<std::int16_t, kFrameSamples> silence{};
    while (frames.size() < wanted) encode(silence, frames);
    *this = Encoder{};
}

Frame Encoder::encode_frame() {
    // Centred where the predictor is used alone, but not far from the quarters that share it with the frame before.
    constexpr std::size_t kWindowStart = kBuffer - kWindowSamples;
    Frame frame;
    frame.reflection = choose_reflection(std::span{buffer_}.subspan<kWindowStart, kWindowSamples>());
    std::array<Decoder, 2> ways{decoder_, decoder_};
    ways[0].begin(frame.reflection, false);
    ways[1].begin(frame.reflection, true);
    const Half held = encode_half(0, ways[0]);
    const Half blended = encode_half(0, ways[1]);
    frame.interpolate = blended.error < held.error;
    const Half& first = frame.interpolate ? blended : held;
    weighting_ = first.weighting;
    const Half second = encode_half(1, first.decoder);
    weighting_ = second.weighting;
    decoder_ = second.decoder;
    decoder_.end();
    frame.base = {first.base, second.base};
    frame.pitch = {first.pitch[0], first.pitch[1], second.pitch[0], second.pitch[1]};
    frame.pulses = {first.pulses[0], first.pulses[1], second.pulses[0], second.pulses[1]};
    return frame;
}

Encoder::Half Encoder::encode_half(std::size_t half, const Decoder& decoder) const {
    const std::size_t quarter = 2 * half;
    const Target target = make_target(decoder, quarter, weighting_, source(quarter));
    // What the receiver remembers in the second quarter is not known yet: the source's own past stands for it.
    const std::size_t end = kBefore + (quarter + 2) * kQuarterSamples;
    const auto past = std::span{buffer_}.subspan(end - kPastSamples).first<kPastSamples>();
    const auto bases =
        best_bases(score_lags(decoder, target), score_lags(decoder.quarter_predictor(quarter + 1), past));
    std::array<Half, kBasesTried> tried;
    for (std::size_t i = 0; i < kBasesTried; ++i) {
        tried[i] = {static_cast<std::uint8_t>(bases[i]), decoder, weighting_};
        encode_quarter(tried[i], quarter);
        encode_quarter(tried[i], quarter + 1);
    }
    return *std::ranges::min_element(tried, {}, &Half::error);
}

void Encoder::encode_quarter(Half& half, std::size_t quarter) const {
    const Quarter wanted = source(quarter);
    const Target target = make_target(half.decoder, quarter, half.weighting, wanted);
    const PulseSearch search{target.response};
    int pitch = kNoPitch;
    PulseChoice best{};
    bool chosen = false;
    for (const auto& choice : best_pitches(half.decoder, target, half.base)) {
        const PulseChoice tried = search.choose(choice.missing);
        if (chosen && tried.error >= best.error) continue;
        chosen = true;
        best = tried;
        pitch = choice.pitch;
    }
    std::array<std::int16_t, kQuarterSamples> heard{};
    half.decoder.decode_quarter(quarter, half.base, pitch, best.pulses, heard);
    Quarter missing{};
    std::ranges::transform(wanted, heard, missing.begin(), std::minus<float>{});
    const Quarter error = half.weighting.apply(half.decoder.quarter_predictor(quarter), missing);
    half.error += dot(error, error);
    half.pitch[quarter % 2] = static_cast<std::uint8_t>(pitch);
    half.pulses[quarter % 2] = best.pulses;
}

Quarter Encoder::source(std::size_t quarter) const {
    Quarter samples{};
    std::copy_n(buffer_.data() + kBefore + quarter * kQuarterSamples, kQuarterSamples, samples.begin());
    return samples;
}

}  // namespace codec::truespeech
