#include "resample.hpp"

#include <cmath>
#include <numbers>

namespace codec {
namespace {

constexpr std::size_t kLanes = 8;      // sums kept apart, so that the compiler may use vectors
constexpr std::size_t kHalfTaps = 16;  // 1.2 kHz from pass to stop at 8 kHz, around half the rate
constexpr unsigned kPhaseBits = 10;
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

// Rounding must not depend on the processor, so wider vectors are welcome and fused multiplication is not.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define CODEC_WIDE_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define CODEC_WIDE_VECTORS
#endif

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
    if (begin >= end) return;
    Sample* target = out.data() + begin;
    const Sample* added = source.data() + first + begin;
    const auto count = static_cast<std::size_t>(end - begin);
    for (std::size_t i = 0; i < count; ++i) target[i] = saturated(target[i] + added[i]);
}

// Places in the source as 32.32 fixed point: exact to 2^-32 of a sample a step, some 1e-5 over a cell.
constexpr double kOne = 4294967296.0;
constexpr unsigned kFractionBits = 32;

struct FilterBank {
    const float* table;
    std::size_t taps;
    unsigned phase_bits;

    const float* at(std::int64_t place) const {
        const auto fraction = static_cast<std::size_t>(place & 0xFFFFFFFF);
        return table + (fraction >> (kFractionBits - phase_bits)) * taps;
    }
};

CODEC_WIDE_VECTORS void add_filtered(const float* source, std::int64_t place, std::int64_t step, const FilterBank& bank,
                                     Sample* out, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i, place += step) {
        const float* values = source + (place >> kFractionBits);
        const float* weights = bank.at(place);
        float sums[kLanes] = {};
        for (std::size_t tap = 0; tap < bank.taps; tap += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += values[tap + lane] * weights[tap + lane];
        }
        const float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
        out[i] = saturated(out[i] + static_cast<int>(std::lrintf(sum)));
    }
}

}  // namespace

Resampler::Resampler(double ratio)
    : taps_(2 * half_taps(ratio)),
      phase_bits_(kPhaseBits - std::min(kPhaseBits / 2, static_cast<unsigned>(std::log2(std::max(1.0, ratio))))) {
    const std::size_t phases = std::size_t{1} << phase_bits_;
    const double band = ratio <= 1.0 ? 1.0 : kMargin / ratio;
    const auto half = static_cast<double>(taps_ / 2);
    const double whole = bessel(kBeta);
    table_.resize(phases * taps_);
    for (std::size_t phase = 0; phase < phases; ++phase) {
        const double fraction = static_cast<double>(phase) / static_cast<double>(phases);
        for (std::size_t tap = 0; tap < taps_; ++tap) {
            const double distance = static_cast<double>(tap) - half + 1.0 - fraction;
            const double inside = std::max(0.0, 1.0 - (distance / half) * (distance / half));
            const double weight = bessel(kBeta * std::sqrt(inside)) / whole;
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
    const double rounding = 0.5 / static_cast<double>(std::size_t{1} << phase_bits_);
    const double place = position - std::floor(position) + rounding;  // values[0] is the first tap's at that place
    add_filtered(values.data(), std::llrint(place * kOne), std::llrint(step * kOne),
                 {table_.data(), taps_, phase_bits_}, out.data(), out.size());
}

}  // namespace codec
