#include "truespeech_pitch.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>

namespace codec::truespeech {

namespace {

constexpr int kLagsOfBase = 5;     // two more pitch indices reach a sixth lag; they are not worth the search
constexpr std::size_t kExact = 6;  // estimates that are looked at again

// The past as it is at `lag`; repeated when it is shorter than a quarter.
Quarter past_at(const Decoder& decoder, int lag) noexcept {
    const auto& history = decoder.history();
    Quarter past{};
    const auto distance = static_cast<std::size_t>(lag);
    for (std::size_t i = 0; i < kQuarterSamples; ++i) {
        past[i] = i < distance ? history[Decoder::kHistory - distance + i] : past[i - distance];
    }
    return past;
}

Quarter without(const Quarter& a, const Quarter& b) noexcept {
    Quarter rest{};
    std::ranges::transform(a, b, rest.begin(), std::minus<>{});
    return rest;
}

float explained(float agreement, float power) noexcept {
    return agreement > 0 && power > 0 ? agreement * agreement / power : 0;
}

float best_of_base(const LagScores& scores, int base) noexcept {
    const auto* begin = scores.data() + base;
    return *std::max_element(begin, begin + std::min(kLagsOfBase, kBases - base));
}

// Past samples with the formants taken off, but not all of them: what is left of those helps to tell lags.
std::array<float, kMaxLag + kQuarterSamples> flatten(const Predictor& predictor,
                                                     std::span<const float, kPastSamples> past) noexcept {
    constexpr float kDamping = 0.8F;
    std::array<float, kMaxLag + kQuarterSamples> flat{};
    for (std::size_t i = 0; i < flat.size(); ++i) {
        const auto now = past.begin() + static_cast<std::ptrdiff_t>(i + kOrder);
        float factor = 1.0F / 4096;
        flat[i] = *now;
        for (std::ptrdiff_t k = 0; k < static_cast<std::ptrdiff_t>(kOrder); ++k) {
            factor *= kDamping;
            flat[i] -= static_cast<float>(predictor[static_cast<std::size_t>(k)]) * factor * *(now - 1 - k);
        }
    }
    return flat;
}

struct Estimate {
    float error;
    int pitch;
};
using Estimates = std::array<Estimate, kLagsOfBase * kTapPairs>;

// Two taps are a sum of two sounds that are computed once. Not quite true where a lag is shorter than a quarter.
Estimates estimate(const Decoder& decoder, const Target& target, int base) noexcept {
    std::array<Quarter, kLagsOfBase + 1> sounds;
    for (int i = 0; i <= kLagsOfBase; ++i) {
        const int lag = std::min(base + kMinLag + i, kMaxLag + 1);
        sounds[static_cast<std::size_t>(i)] = filter(target.response, past_at(decoder, lag));
    }
    const float power = dot(target.wanted, target.wanted);
    Estimates estimates;
    auto next = estimates.begin();
    for (std::size_t i = 0; i < kLagsOfBase; ++i) {
        const Quarter& near = sounds[i];
        const Quarter& far = sounds[i + 1];
        const float wanted_near = dot(target.wanted, near);
        const float wanted_far = dot(target.wanted, far);
        const float near_near = dot(near, near);
        const float far_far = dot(far, far);
        const float near_far = dot(near, far);
        for (int pair = 0; pair < kTapPairs; ++pair, ++next) {
            const float f = static_cast<float>(taps(pair).further) / (1 << kTapsShift);
            const float n = static_cast<float>(taps(pair).nearer) / (1 << kTapsShift);
            const float agreement = n * wanted_near + f * wanted_far;
            const float own = n * n * near_near + f * f * far_far + 2 * n * f * near_far;
            *next = {power - 2 * agreement + own, static_cast<int>(i) * kTapPairs + pair};
        }
    }
    return estimates;
}

// What is missing behind the very excitation that the decoder takes from its past.
PitchChoice listen(const Decoder& decoder, const Target& target, int base, int pitch) noexcept {
    Quarter excitation{};
    std::ranges::copy(decoder.pitch_excitation(base, pitch), excitation.begin());
    const Quarter missing = without(target.wanted, filter(target.response, excitation));
    return {pitch, dot(missing, missing), missing};
}

// Whether a quarter that the decoder remembers, the oldest of them in part, was as good as silent.
bool remembers_silence(const Decoder& decoder) noexcept {
    constexpr int kSilence = 12;  // the pulses that stand for a silence are 6 at most
    const auto& history = decoder.history();
    std::size_t end = history.size();
    while (end > 0) {
        const std::size_t begin = end > kQuarterSamples ? end - kQuarterSamples : 0;
        const auto loud = [](std::int16_t sample) { return std::abs(int{sample}) > kSilence; };
        if (std::none_of(history.begin() + begin, history.begin() + end, loud)) return true;
        end = begin;
    }
    return false;
}

}  // namespace

LagScores score_lags(const Decoder& decoder, const Target& target) noexcept {
    const Quarter agreement = correlate(target.response, target.wanted);
    LagScores scores{};
    Quarter sound{};
    for (int lag = kMinLag; lag <= kMaxLag; ++lag) {
        const Quarter past = past_at(decoder, lag);
        if (lag > static_cast<int>(kQuarterSamples)) {  // the sound of the lag before, a sample later
            std::copy_backward(sound.begin(), sound.end() - 1, sound.end());
            sound[0] = 0;
            for (std::size_t i = 0; i < kQuarterSamples; ++i) sound[i] += past[0] * target.response[i];
        } else {
            sound = filter(target.response, past);
        }
        scores[static_cast<std::size_t>(lag - kMinLag)] = explained(dot(agreement, past), dot(sound, sound));
    }
    return scores;
}

LagScores score_lags(const Predictor& predictor, std::span<const float, kPastSamples> past) noexcept {
    const auto flat = flatten(predictor, past);
    const float* quarter = flat.data() + kMaxLag;
    LagScores scores{};
    for (std::size_t i = 0; i < scores.size(); ++i) {
        Quarter now{}, before{};
        std::copy_n(quarter, kQuarterSamples, now.begin());
        std::copy_n(quarter - kMinLag - i, kQuarterSamples, before.begin());
        scores[i] = explained(dot(now, before), dot(before, before));
    }
    return scores;
}

std::array<int, kBasesTried> best_bases(const LagScores& first, const LagScores& second) noexcept {
    std::array<float, kBases> sums{};
    for (int base = 0; base < kBases; ++base) {
        sums[static_cast<std::size_t>(base)] = best_of_base(first, base) + best_of_base(second, base);
    }
    std::array<int, kBasesTried> bases{};
    for (auto& base : bases) {
        base = static_cast<int>(std::ranges::max_element(sums) - sums.begin());
        // Neighbours offer nearly the same lags.
        for (int near = std::max(base - 2, 0); near <= std::min(base + 2, kBases - 1); ++near) {
            sums[static_cast<std::size_t>(near)] = -1;
        }
    }
    return bases;
}

std::vector<PitchChoice> best_pitches(const Decoder& decoder, const Target& target, int base) {
    const PitchChoice none{kNoPitch, dot(target.wanted, target.wanted), target.wanted};
    if (remembers_silence(decoder)) return {none};
    Estimates estimates = estimate(decoder, target, base);
    std::ranges::partial_sort(estimates, estimates.begin() + kExact, {}, &Estimate::error);
    std::array<PitchChoice, kExact + 1> exact;
    std::ranges::transform(estimates.begin(), estimates.begin() + kExact, exact.begin(),
                           [&](const Estimate& one) { return listen(decoder, target, base, one.pitch); });
    exact.back() = none;
    std::ranges::partial_sort(exact, exact.begin() + 2, {}, &PitchChoice::error);
    return {exact[0], exact[1]};
}

}  // namespace codec::truespeech
