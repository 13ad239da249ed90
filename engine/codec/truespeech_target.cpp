#include "truespeech_target.hpp"

#include <algorithm>
#include <functional>

namespace codec::truespeech {

namespace {

// Best of what was tried by STOI and PESQ on eight voices.
constexpr float kZeros = 0.95F;
constexpr float kPoles = 0.6F;
constexpr float kQ12 = 1.0F / 4096;

Memory widened(const Predictor& predictor, float factor) noexcept {
    Memory weights{};
    float power = kQ12;
    for (std::size_t k = 0; k < kOrder; ++k) {
        power *= factor;
        weights[k] = static_cast<float>(predictor[k]) * power;
    }
    return weights;
}

template <typename Weights>
Memory scaled(const Weights& weights) noexcept {
    Memory result{};
    for (std::size_t k = 0; k < kOrder; ++k) result[k] = static_cast<float>(weights[k]) * kQ12;
    return result;
}

float weigh(const Memory& memory, const Memory& weights) noexcept {
    float sum = 0;
    for (std::size_t k = 0; k < kOrder; ++k) sum += memory[k] * weights[k];
    return sum;
}

void remember(Memory& memory, float sample) noexcept {
    std::copy_backward(memory.begin(), memory.end() - 1, memory.end());
    memory[0] = sample;
}

Memory floats(const FilterMemory& memory) noexcept {
    Memory result{};
    std::ranges::copy(memory, result.begin());
    return result;
}

// The decoder's filters, without its rounding.
struct Synthesis {
    Memory all, zeros, poles;
    float tilt;
    Memory voiced{}, flattened{};

    Synthesis(const Predictor& predictor, std::int32_t tilt_q16) noexcept
        : all(scaled(predictor)),
          zeros(scaled(damp_for_zeros(predictor))),
          poles(scaled(damp_for_poles(predictor))),
          tilt(static_cast<float>(tilt_q16) / 65536) {}

    Quarter apply(const Quarter& excitation) noexcept {
        Quarter sound{};
        for (std::size_t i = 0; i < kQuarterSamples; ++i) {
            const float voice = excitation[i] + weigh(voiced, all);
            const float shaped = voice - weigh(voiced, zeros) + weigh(flattened, poles);
            sound[i] = (shaped + tilt * flattened[0]) * 0.875F;
            remember(voiced, voice);
            remember(flattened, shaped);
        }
        return sound;
    }
};

}  // namespace

Quarter Weighting::apply(const Predictor& predictor, const Quarter& error) noexcept {
    const Memory zeros = widened(predictor, kZeros);
    const Memory poles = widened(predictor, kPoles);
    Quarter result{};
    for (std::size_t i = 0; i < kQuarterSamples; ++i) {
        result[i] = error[i] - weigh(errors_, zeros) + weigh(weighted_, poles);
        remember(errors_, error[i]);
        remember(weighted_, result[i]);
    }
    return result;
}

Target make_target(const Decoder& decoder, std::size_t quarter, const Weighting& weighting,
                   const Quarter& source) noexcept {
    const Predictor& predictor = decoder.quarter_predictor(quarter);
    Synthesis ringing{predictor, decoder.tilt()};
    Synthesis resting = ringing;
    ringing.voiced = floats(decoder.synthesis_memory());
    ringing.flattened = floats(decoder.poles_memory());
    const Quarter rings = ringing.apply({});
    Quarter missing{};
    std::ranges::transform(source, rings, missing.begin(), std::minus<>{});
    Weighting after = weighting;
    Weighting fresh;
    Quarter unit{1};
    return {after.apply(predictor, missing), fresh.apply(predictor, resting.apply(unit))};
}

Quarter filter(const Quarter& response, const Quarter& excitation) noexcept {
    Quarter sound{};
    for (std::size_t i = 0; i < kQuarterSamples; ++i) {
        for (std::size_t n = i; n < kQuarterSamples; ++n) sound[n] += excitation[i] * response[n - i];
    }
    return sound;
}

Quarter correlate(const Quarter& response, const Quarter& wanted) noexcept {
    Quarter agreement{};
    for (std::size_t n = 0; n < kQuarterSamples; ++n) {
        for (std::size_t i = 0; i + n < kQuarterSamples; ++i) agreement[i] += wanted[n + i] * response[n];
    }
    return agreement;
}

float dot(const Quarter& a, const Quarter& b) noexcept {
    std::array<float, 4> sums{};  // four at a time: the compiler may not reorder a single sum
    for (std::size_t i = 0; i < kQuarterSamples; i += 4) {
        for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += a[i + lane] * b[i + lane];
    }
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

}  // namespace codec::truespeech
