#include "concealment.hpp"

#include <cmath>

namespace codec {
namespace {

constexpr float kEnergyFloor = 1.0F;  // below one step of a sample nothing repeats

std::size_t samples(int rate, int microseconds) {
    return static_cast<std::size_t>(static_cast<std::int64_t>(rate) * microseconds / 1'000'000);
}

Sample rounded(float value) { return saturated(static_cast<int>(std::lrintf(value))); }

}  // namespace

// Voices have 66 to 400 Hz. After 60 ms what was said last says nothing about what was lost.
Concealment::Concealment(int rate)
    : shortest_(samples(rate, 2'500)),
      longest_(samples(rate, 15'000)),
      compared_(samples(rate, 20'000)),
      steady_(samples(rate, 10'000)),
      faded_(samples(rate, 60'000)),
      blended_(samples(rate, 4'000)) {}

void Concealment::fill(std::span<Sample> audio, std::size_t from, std::size_t count) {
    period_.clear();
    place_ = 0;
    const std::size_t needed = compared_ + longest_;
    if (from < needed || from > audio.size() || shortest_ < 4) return;
    const std::size_t length = best_period(audio.subspan(from - needed, needed));
    const std::size_t seam = length / 4;
    const Sample* past = audio.data() + from - length;
    period_.assign(past, past + length);
    // The last quarter turns into what came before the period, so that its end leads into its beginning.
    for (std::size_t i = 0; i < seam; ++i) {
        const float weight = static_cast<float>(i + 1) / static_cast<float>(seam);
        float& sample = period_[length - seam + i];
        sample += weight * (static_cast<float>(*(past - seam + i)) - sample);
        audio[from - seam + i] = rounded(sample);
    }
    const std::size_t end = std::min(from + count, audio.size());
    for (std::size_t i = from; i < end; ++i) audio[i] = rounded(next());
}

void Concealment::blend(std::span<Sample> audio, std::size_t at) {
    if (period_.empty()) return;
    const std::size_t count = at < audio.size() ? std::min(blended_, audio.size() - at) : 0;
    for (std::size_t i = 0; i < count; ++i) {
        const float weight = static_cast<float>(i + 1) / static_cast<float>(blended_);
        const float synthetic = next();
        audio[at + i] = rounded(synthetic + weight * (static_cast<float>(audio[at + i]) - synthetic));
    }
    period_.clear();
}

// The lag at which the last `compared_` samples resemble the ones before most.
std::size_t Concealment::best_period(std::span<const Sample> history) const {
    const Sample* recent = history.data() + history.size() - compared_;
    std::size_t best = longest_;
    float best_score = 0.0F;
    for (std::size_t lag = shortest_; lag <= longest_; ++lag) {
        const Sample* earlier = recent - lag;
        float product = 0.0F;
        float energy = kEnergyFloor;
        for (std::size_t i = 0; i < compared_; ++i) {
            const auto value = static_cast<float>(earlier[i]);
            product += value * static_cast<float>(recent[i]);
            energy += value * value;
        }
        const float score = product <= 0.0F ? 0.0F : product / std::sqrt(energy);
        if (score > best_score) {
            best_score = score;
            best = lag;
        }
    }
    return best;
}

float Concealment::gain(std::size_t place) const {
    if (place <= steady_) return 1.0F;
    if (place >= faded_) return 0.0F;
    return static_cast<float>(faded_ - place) / static_cast<float>(faded_ - steady_);
}

float Concealment::next() {
    const float value = gain(place_) * period_[place_ % period_.size()];
    ++place_;
    return value;
}

}  // namespace codec
