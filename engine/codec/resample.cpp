#include "resample.hpp"

#include <cmath>
#include <numbers>

namespace codec {
namespace {

constexpr std::size_t kLanes = 8;      // sums kept apart, so that the compiler may use vectors
constexpr std::size_t kHalfTaps = 16;  // 1.2 kHz from pass to stop at 8 kHz, around half the rate
constexpr std::size_t kPhases = 1024;
constexpr double kMargin = 0.94;  // below half the output's rate when its rate is the lower one
constexpr double kBeta = 7.0;     // Kaiser window: side lobes at -70 dB

double bessel(double x) {
    double sum = 1.0;
    double term = 1.0;
    for (int k = 1; k < 32; ++k) {
        term *= (x / (2.0 * k)) * (x / (2.0 * k));
        sum += term;
    }
    return sum;
}

double sinc(double x) { return std::abs(x) < 1e-9 ? 1.0 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x); }

std::size_t half_taps(double ratio) {
    const auto half = static_cast<std::size_t>(std::ceil(static_cast<double>(kHalfTaps) * std::max(1.0, ratio)));
    return (half + kLanes / 2 - 1) / (kLanes / 2) * (kLanes / 2);
}

float dot(const float* left, const float* right, std::size_t count) {
    float sums[kLanes] = {};
    for (std::size_t i = 0; i < count; i += kLanes) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += left[i + lane] * right[i + lane];
    }
    float sum = 0.0F;
    for (const float part : sums) sum += part;
    return sum;
}

// The source from `first` on as floats, silent beyond its ends.
std::vector<float> window(std::span<const Sample> source, std::int64_t first, std::size_t count) {
    std::vector<float> values(count, 0.0F);
    const auto size = static_cast<std::int64_t>(source.size());
    const std::int64_t begin = std::clamp<std::int64_t>(first, 0, size);
    const std::int64_t end = std::clamp<std::int64_t>(first + static_cast<std::int64_t>(count), begin, size);
    for (std::int64_t i = begin; i < end; ++i) {
        values[static_cast<std::size_t>(i - first)] = static_cast<float>(source[static_cast<std::size_t>(i)]);
    }
    return values;
}

void add_unchanged(std::span<const Sample> source, std::int64_t first, std::span<Sample> out) {
    const auto size = static_cast<std::int64_t>(source.size());
    const std::int64_t begin = std::max<std::int64_t>(0, -first);
    const std::int64_t end = std::min<std::int64_t>(static_cast<std::int64_t>(out.size()), size - first);
    for (std::int64_t i = begin; i < end; ++i) {
        Sample& sample = out[static_cast<std::size_t>(i)];
        sample = saturated(sample + source[static_cast<std::size_t>(first + i)]);
    }
}

}  // namespace

Resampler::Resampler(double ratio)
    : taps_(2 * half_taps(ratio)),
      phases_(
          std::max<std::size_t>(64, static_cast<std::size_t>(static_cast<double>(kPhases) / std::max(1.0, ratio)))) {
    const double band = ratio <= 1.0 ? 1.0 : kMargin / ratio;
    const auto half = static_cast<double>(taps_ / 2);
    table_.resize((phases_ + 1) * taps_);
    for (std::size_t phase = 0; phase <= phases_; ++phase) {
        const double fraction = static_cast<double>(phase) / static_cast<double>(phases_);
        for (std::size_t tap = 0; tap < taps_; ++tap) {
            const double distance = static_cast<double>(tap) - half + 1.0 - fraction;
            const double inside = std::max(0.0, 1.0 - (distance / half) * (distance / half));
            const double weight = bessel(kBeta * std::sqrt(inside)) / bessel(kBeta);
            table_[phase * taps_ + tap] = static_cast<float>(band * sinc(band * distance) * weight);
        }
    }
}

void Resampler::add(std::span<const Sample> source, double position, double step, std::span<Sample> out) const {
    if (out.empty()) return;
    if (step == 1.0 && position == std::floor(position)) {
        add_unchanged(source, static_cast<std::int64_t>(position), out);
        return;
    }
    const auto half = static_cast<std::int64_t>(taps_ / 2);
    const std::int64_t first = static_cast<std::int64_t>(std::floor(position)) - half + 1;
    const auto covered = static_cast<std::size_t>(std::ceil(static_cast<double>(out.size()) * step));
    const std::vector<float> values = window(source, first, covered + taps_ + 2);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const double place = position + static_cast<double>(i) * step;
        const double whole = std::floor(place);
        const auto phase = static_cast<std::size_t>(std::lrint((place - whole) * static_cast<double>(phases_)));
        const auto from = static_cast<std::size_t>(static_cast<std::int64_t>(whole) - half + 1 - first);
        const float sum = dot(values.data() + from, table_.data() + phase * taps_, taps_);
        out[i] = saturated(out[i] + static_cast<int>(std::lrintf(sum)));
    }
}

}  // namespace codec
