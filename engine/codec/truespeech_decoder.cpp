#include "truespeech_decoder.hpp"

#include <algorithm>

namespace codec::truespeech {

namespace {

constexpr std::int32_t kPeak = 0x7FFE;

// factor^1 .. factor^8 in Q15, rounded.
constexpr std::array<std::int32_t, kOrder> make_powers(double factor) {
    std::array<std::int32_t, kOrder> powers{};
    double power = 32768;
    for (auto& whole : powers) {
        power *= factor;
        whole = static_cast<std::int32_t>(power + 0.5);
    }
    return powers;
}
constexpr auto kWiden = make_powers(0.994);
constexpr auto kForZeros = make_powers(0.55);
constexpr auto kForPoles = make_powers(0.75);
static_assert(kWiden.back() == 31228 && kForZeros.back() == 274 && kForPoles.back() == 3281);

std::int16_t wrap(std::int32_t value) noexcept { return static_cast<std::int16_t>(value); }

std::int16_t clip(std::int32_t value) noexcept { return static_cast<std::int16_t>(std::clamp(value, -kPeak, kPeak)); }

// Sums wrap at 32 bits, as those of decoders in the field do; unsigned, because only that wraps by the language.
template <typename Weight>
std::int32_t weigh(const FilterMemory& memory, const std::array<Weight, kOrder>& weights, std::uint32_t sum) noexcept {
    for (std::size_t k = 0; k < kOrder; ++k) {
        sum += static_cast<std::uint32_t>(std::int32_t{memory[k]} * std::int32_t{weights[k]});
    }
    return static_cast<std::int32_t>(sum);
}

std::int32_t minus(std::int32_t value) noexcept {
    return static_cast<std::int32_t>(0U - static_cast<std::uint32_t>(value));
}

std::int32_t plus(std::int32_t a, std::int32_t b) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}

void remember(FilterMemory& memory, std::int16_t sample) noexcept {
    std::copy_backward(memory.begin(), memory.end() - 1, memory.end());
    memory[0] = sample;
}

std::array<std::int32_t, kOrder> damp(const Predictor& predictor, const std::array<std::int32_t, kOrder>& powers) {
    std::array<std::int32_t, kOrder> damped{};
    for (std::size_t k = 0; k < kOrder; ++k) damped[k] = powers[k] * predictor[k] >> 15;
    return damped;
}

// (2 a + b) / 3
Predictor blend(const Predictor& a, const Predictor& b) noexcept {
    constexpr std::int32_t kTwoThirds = 21846;
    constexpr std::int32_t kThird = 10923;
    Predictor blended{};
    for (std::size_t k = 0; k < kOrder; ++k) blended[k] = wrap((a[k] * kTwoThirds + b[k] * kThird + 16384) >> 15);
    return blended;
}

std::int32_t reflection_of(const std::array<std::uint8_t, kOrder>& reflection, std::size_t index) noexcept {
    return reflection_codebook(index)[reflection[index]];
}

struct Levinson {
    Predictor predictor;
    bool overflowed;
};

// From reflection coefficients to weights, order by order, in 16 bits.
Levinson step_up(const std::array<std::uint8_t, kOrder>& reflection) noexcept {
    Levinson result{};
    auto& weights = result.predictor;
    for (std::size_t i = 0; i < kOrder; ++i) {
        const std::int32_t coefficient = reflection_of(reflection, i);
        const Predictor before = weights;
        for (std::size_t j = 0; j < i; ++j) {
            const std::int32_t sum = before[j] + ((before[i - j - 1] * coefficient + 0x4000) >> 15);
            weights[j] = wrap(sum);
            result.overflowed = result.overflowed || weights[j] != sum;
        }
        weights[i] = wrap((8 - coefficient) >> 3);
    }
    for (std::size_t i = 0; i < kOrder; ++i) weights[i] = wrap(weights[i] * kWiden[i] >> 15);
    return result;
}

}  // namespace

Predictor predictor(const std::array<std::uint8_t, kOrder>& reflection) noexcept {
    return step_up(reflection).predictor;
}

bool overflows(const std::array<std::uint8_t, kOrder>& reflection) noexcept { return step_up(reflection).overflowed; }

std::array<std::int32_t, kOrder> damp_for_zeros(const Predictor& predictor) noexcept {
    return damp(predictor, kForZeros);
}

std::array<std::int32_t, kOrder> damp_for_poles(const Predictor& predictor) noexcept {
    return damp(predictor, kForPoles);
}

void Decoder::decode(const Frame& frame, std::span<std::int16_t, kFrameSamples> samples) noexcept {
    begin(frame.reflection, frame.interpolate);
    for (std::size_t q = 0; q < kQuarters; ++q) {
        const std::span<std::int16_t, kQuarterSamples> quarter{samples.data() + q * kQuarterSamples, kQuarterSamples};
        decode_quarter(q, frame.base[q / 2], frame.pitch[q], frame.pulses[q], quarter);
    }
    end();
}

void Decoder::begin(const std::array<std::uint8_t, kOrder>& reflection, bool interpolate) noexcept {
    current_ = predictor(reflection);
    predictors_[0] = interpolate ? blend(current_, previous_) : previous_;
    predictors_[1] = interpolate ? blend(previous_, current_) : previous_;
    predictors_[2] = predictors_[3] = current_;
    const std::int32_t first = reflection_of(reflection, 0);
    tilt_ = first - (first >> 2);
}

void Decoder::end() noexcept { previous_ = current_; }

Excitation Decoder::pitch_excitation(int base, int pitch) const noexcept {
    Excitation excitation{};
    if (pitch == kNoPitch) return excitation;
    const auto lag = static_cast<std::size_t>(std::clamp(base + pitch / kTapPairs + kMinLag, 0, kMaxLag));
    const auto [further, nearer] = taps(pitch % kTapPairs);
    std::array<std::int16_t, kHistory + kQuarterSamples> past{};  // what is made becomes past when the lag is short
    std::copy(history_.begin(), history_.end(), past.begin());
    for (std::size_t i = 0; i < kQuarterSamples; ++i) {
        const std::size_t at = kHistory - 1 - lag + i;
        const std::int32_t sum = past[at] * further + past[at + 1] * nearer + (1 << (kTapsShift - 1));
        excitation[i] = past[kHistory + i] = wrap(sum >> kTapsShift);
    }
    return excitation;
}

void Decoder::decode_quarter(std::size_t quarter, int base, int pitch, const Pulses& pulses,
                             std::span<std::int16_t, kQuarterSamples> samples) noexcept {
    const Excitation from_past = pitch_excitation(base, pitch);
    const Excitation placed = place(pulses);
    std::copy(history_.begin() + kQuarterSamples, history_.end(), history_.begin());
    auto* newest = history_.end() - kQuarterSamples;
    for (std::size_t i = 0; i < kQuarterSamples; ++i) {
        // An eighth of what came from the past is forgotten: so a fault dies out.
        newest[i] = wrap(placed[i] + from_past[i] - (from_past[i] >> 3));
        samples[i] = wrap(placed[i] + from_past[i]);
    }
    synthesise(predictors_[quarter], samples);
}

void Decoder::synthesise(const Predictor& predictor, std::span<std::int16_t, kQuarterSamples> samples) noexcept {
    const auto zeros = damp_for_zeros(predictor);
    const auto poles = damp_for_poles(predictor);
    for (auto& sample : samples) {
        const std::int32_t predicted = weigh(synthesis_, predictor, 0x800) >> kPredictorShift;
        const std::int16_t voice = clip(sample + predicted);
        const std::int16_t flattened = wrap(voice + (minus(weigh(synthesis_, zeros, 0)) >> kPredictorShift));
        remember(synthesis_, voice);

        std::int32_t sum = weigh(poles_, poles, static_cast<std::uint32_t>(flattened * (1 << kPredictorShift)));
        const std::int16_t before = poles_[0];
        remember(poles_, clip(plus(sum, 0x800) >> kPredictorShift));
        sum = plus(sum, before * tilt_ >> 4);
        sum -= sum >> 3;
        sample = clip(plus(sum, 0x800) >> kPredictorShift);
    }
}

}  // namespace codec::truespeech
