#include "truespeech_pulses.hpp"

#include <algorithm>
#include <cmath>

namespace codec::truespeech {

namespace {

constexpr int kGainsTried = 4;    // from the loudest one down, 4 dB apart
constexpr int kRounds = 2;        // of moving every pulse
constexpr float kClosed = 1e30F;  // more than any pulse could gain

constexpr std::size_t capacity(std::size_t half) { return half == 0 ? kFirstPulses : kSecondPulses; }

}  // namespace

struct PulseSearch::Layout {
    std::array<std::uint8_t, kPulses> places{};
    std::array<std::int8_t, kPulses> times{};  // +-1 or +-3
    Quarter closed{};                          // kClosed where a pulse is already
    std::array<std::size_t, 2> used{};
    Quarter agreement;
    float error;
};

PulseSearch::PulseSearch(const Quarter& response) noexcept : response_(response) {
    // products[i][j] = products[i + 1][j + 1] + response[last - i] * response[last - j]
    for (std::size_t distance = 0; distance < kQuarterSamples; ++distance) {
        float sum = 0;
        for (std::size_t n = 0; n + distance < kQuarterSamples; ++n) {
            sum += response[n] * response[n + distance];
            const std::size_t j = kQuarterSamples - 1 - n;
            products_[j][j - distance] = products_[j - distance][j] = sum;
        }
    }
    for (std::size_t i = 0; i < kQuarterSamples; ++i) powers_[i] = products_[i][i];
}

// Puts the pulse `slot` where, and as, it takes most from the error.
void PulseSearch::add_best(Layout& layout, std::size_t slot, float scale) const noexcept {
    Quarter gains;  // computed for closed places as well: without branches this is four places at a time
    for (std::size_t i = 0; i < kQuarterSamples; ++i) {
        const float agreement = std::abs(layout.agreement[i]) * (2 * scale);
        const float power = powers_[i] * (scale * scale);
        const float once = agreement - power;
        const float thrice = 3 * agreement - 9 * power;
        gains[i] = (once > thrice ? once : thrice) - layout.closed[i];
    }
    std::size_t place = kQuarterSamples;
    for (std::size_t half = 0; half < 2; ++half) {
        if (layout.used[half] == capacity(half)) continue;
        for (std::size_t i = half * kHalfSamples; i < (half + 1) * kHalfSamples; ++i) {
            if (place == kQuarterSamples || gains[i] > gains[place]) place = i;
        }
    }
    const float agreement = layout.agreement[place];
    const bool thrice = std::abs(agreement) > 2 * powers_[place] * scale;
    const int times = (thrice ? 3 : 1) * (agreement < 0 ? -1 : 1);
    const float amplitude = static_cast<float>(times) * scale;
    for (std::size_t i = 0; i < kQuarterSamples; ++i) layout.agreement[i] -= amplitude * products_[place][i];
    layout.error -= gains[place];
    layout.places[slot] = static_cast<std::uint8_t>(place);
    layout.times[slot] = static_cast<std::int8_t>(times);
    layout.closed[place] = kClosed;
    ++layout.used[place / kHalfSamples];
}

void PulseSearch::take_out(Layout& layout, std::size_t slot, float scale) const noexcept {
    const std::size_t place = layout.places[slot];
    const float amplitude = static_cast<float>(layout.times[slot]) * scale;
    for (std::size_t i = 0; i < kQuarterSamples; ++i) layout.agreement[i] += amplitude * products_[place][i];
    layout.error += 2 * amplitude * layout.agreement[place] - amplitude * amplitude * products_[place][place];
    layout.closed[place] = 0;
    --layout.used[place / kHalfSamples];
}

PulseSearch::Layout PulseSearch::lay_out(const Layout& empty, float scale) const noexcept {
    Layout layout = empty;
    for (std::size_t slot = 0; slot < kPulses; ++slot) add_best(layout, slot, scale);
    return layout;
}

void PulseSearch::refine(Layout& layout, float scale) const noexcept {
    for (int round = 0; round < kRounds; ++round) {
        const float before = layout.error;
        for (std::size_t slot = 0; slot < kPulses; ++slot) {
            take_out(layout, slot, scale);
            add_best(layout, slot, scale);
        }
        if (layout.error >= before * 0.999F) return;
    }
}

namespace {

Pulses pulses_of(const std::array<std::uint8_t, kPulses>& places, const std::array<std::int8_t, kPulses>& times,
                 int gain) noexcept {
    std::array<std::size_t, kPulses> order{0, 1, 2, 3, 4, 5, 6};
    std::ranges::sort(order, {}, [&](std::size_t slot) { return places[slot]; });
    Pulses pulses;
    std::array<std::uint8_t, kPulses> within{};  // its half
    for (std::size_t i = 0; i < kPulses; ++i) {
        const int many = times[order[i]];
        within[i] = static_cast<std::uint8_t>(places[order[i]] % kHalfSamples);
        pulses.codes[i] = static_cast<std::uint8_t>((std::abs(many) == 3 ? 1 : 0) + (many < 0 ? 2 : 0));
    }
    const std::span<const std::uint8_t, kPulses> all{within};
    pulses.first_rank = rank(all.first<kFirstPulses>());
    pulses.second_rank = rank(all.last<kSecondPulses>());
    pulses.gain = static_cast<std::uint8_t>(gain);
    return pulses;
}

}  // namespace

PulseChoice PulseSearch::choose(const Quarter& wanted) const noexcept {
    Layout empty{};
    empty.agreement = correlate(response_, wanted);
    empty.error = dot(wanted, wanted);
    float loudest = 0;
    for (std::size_t i = 0; i < kQuarterSamples; ++i) {
        loudest = std::max(loudest, std::abs(empty.agreement[i]) / products_[i][i]);
    }
    int highest = 0;
    while (highest + 1 < kPulseGains && pulse_scale(highest + 1) <= loudest) ++highest;

    Layout best = empty;
    int best_gain = highest;
    for (int gain = highest; gain >= 0 && gain > highest - kGainsTried; --gain) {
        const Layout tried = lay_out(empty, pulse_scale(gain));
        if (gain == highest || tried.error < best.error) {
            best = tried;
            best_gain = gain;
        }
    }
    refine(best, pulse_scale(best_gain));
    return {pulses_of(best.places, best.times, best_gain), best.error};
}

}  // namespace codec::truespeech
