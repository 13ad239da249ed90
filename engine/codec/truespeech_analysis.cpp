#include "truespeech_analysis.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "truespeech_decoder.hpp"

namespace codec::truespeech {

namespace {

constexpr double kSampleRate = 8000;
constexpr double kWidenHz = 40;         // blurs the spectrum by so much: single harmonics make ringing predictors
constexpr double kNoiseFloor = 1.0001;  // white noise 40 dB below keeps empty bands predictable
constexpr double kLeastPower = 1;       // digital silence has no spectrum; this gives it a flat one
constexpr int kSweeps = 3;              // of the search around the first choice

using Lags = std::array<double, kOrder + 1>;
using Indices = std::array<std::uint8_t, kOrder>;

std::array<float, kWindowSamples> make_window() {
    std::array<float, kWindowSamples> window{};
    for (std::size_t i = 0; i < kWindowSamples; ++i) {
        const double turn = 2 * std::numbers::pi * (static_cast<double>(i) + 0.5) / kWindowSamples;
        window[i] = static_cast<float>(0.54 - 0.46 * std::cos(turn));
    }
    return window;
}

Lags autocorrelate(std::span<const float, kWindowSamples> samples) noexcept {
    static const auto shape = make_window();
    std::array<float, kWindowSamples> windowed{};
    std::ranges::transform(samples, shape, windowed.begin(), std::multiplies<>{});
    Lags lags{};
    for (std::size_t lag = 0; lag <= kOrder; ++lag) {
        double sum = 0;
        for (std::size_t i = lag; i < kWindowSamples; ++i) sum += double{windowed[i]} * double{windowed[i - lag]};
        const double blur = 2 * std::numbers::pi * kWidenHz * static_cast<double>(lag) / kSampleRate;
        lags[lag] = sum * std::exp(-0.5 * blur * blur);
    }
    lags[0] = lags[0] * kNoiseFloor + kLeastPower;
    return lags;
}

std::uint8_t nearest(std::size_t coefficient, double value) noexcept {
    const auto codebook = reflection_codebook(coefficient);
    const auto distance = [&](std::int16_t entry) { return std::abs(entry - value * 32768); };
    return static_cast<std::uint8_t>(std::ranges::min_element(codebook, {}, distance) - codebook.begin());
}

// Order by order the best coefficient for what the quantised ones before it have left.
Indices first_choice(const Lags& lags) noexcept {
    Indices indices{};
    std::array<double, kOrder + 1> error_filter{1};
    for (std::size_t order = 1; order <= kOrder; ++order) {
        double power = 0;
        double cross = 0;
        for (std::size_t i = 0; i < order; ++i) {
            for (std::size_t j = 0; j < order; ++j) {
                const double product = error_filter[i] * error_filter[j];
                power += product * lags[i > j ? i - j : j - i];
                cross += product * lags[i + j > order ? i + j - order : order - i - j];
            }
        }
        indices[order - 1] = nearest(order - 1, -cross / power);
        const double reflection = reflection_codebook(order - 1)[indices[order - 1]] / 32768.0;
        const auto before = error_filter;
        for (std::size_t i = 1; i <= order; ++i) error_filter[i] += reflection * before[order - i];
    }
    return indices;
}

// The power that is left after prediction by what decoders make of `indices`.
double left_over(const Lags& lags, const Indices& indices) noexcept {
    const Predictor weights = predictor(indices);
    double power = lags[0];
    for (std::size_t i = 0; i < kOrder; ++i) {
        const double weight = weights[i] / 4096.0;
        double row = lags[0] * weight - 2 * lags[i + 1];
        for (std::size_t j = 0; j < i; ++j) row += 2 * lags[i - j] * weights[j] / 4096.0;
        power += weight * row;
    }
    return power;
}

}  // namespace

std::array<std::uint8_t, kOrder> choose_reflection(std::span<const float, kWindowSamples> window) noexcept {
    const Lags lags = autocorrelate(window);
    Indices best = first_choice(lags);
    if (overflows(best)) {
        for (std::size_t i = 0; i < kOrder; ++i) best[i] = nearest(i, 0);
    }
    double least = left_over(lags, best);
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
        for (std::size_t i = 0; i < kOrder; ++i) {
            for (const int step : {-1, 1}) {
                const int index = best[i] + step;
                if (index < 0 || index >= static_cast<int>(reflection_codebook(i).size())) continue;
                Indices tried = best;
                tried[i] = static_cast<std::uint8_t>(index);
                const double left = left_over(lags, tried);
                if (left < least && !overflows(tried)) {
                    least = left;
                    best = tried;
                }
            }
        }
    }
    return best;
}

}  // namespace codec::truespeech
