#include "comfort_noise.hpp"

#include <array>
#include <cmath>

namespace codec {
namespace {

constexpr std::uint64_t kWarmUp = 256;  // samples until the filter has forgotten that it began with silence
constexpr float kOverload = 32767.0F;
constexpr float kUniformRms = 0.57735F;  // of values between -1 and 1
constexpr float kStable = 0.98F;

// Steele, Lea, Flood: splitmix64. A value for each place, so noise can begin anywhere.
float uniform(std::uint64_t place) {
    std::uint64_t value = (place + 1) * 0x9E3779B97F4A7C15U;
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
    value ^= value >> 31U;
    return static_cast<float>(static_cast<std::int32_t>(value >> 32U)) * 0x1p-31F;
}

// All-pole lattice, so any coefficients below 1 are stable.
class Lattice {
  public:
    explicit Lattice(Octets coefficients) : order_(std::min(coefficients.size(), kMaxNoiseOrder)) {
        for (std::size_t i = 0; i < order_; ++i) {
            // RFC 3389 section 3.1: 127 is 0, a step is 258/32768
            const float value = static_cast<float>(static_cast<int>(coefficients[i]) - 127) * 258.0F / 32768.0F;
            reflection_[i] = std::clamp(value, -kStable, kStable);
            gain_ *= std::sqrt(1.0F - reflection_[i] * reflection_[i]);
        }
    }

    float next(float excitation) {
        float forward = excitation * gain_;
        for (std::size_t i = order_; i-- > 0;) {
            forward -= reflection_[i] * backward_[i];
            backward_[i + 1] = backward_[i] + reflection_[i] * forward;
        }
        backward_[0] = forward;
        return forward;
    }

  private:
    std::size_t order_;
    std::array<float, kMaxNoiseOrder> reflection_{};
    std::array<float, kMaxNoiseOrder + 1> backward_{};
    float gain_ = 1.0F;
};

}  // namespace

void comfort_noise(Octets payload, std::uint64_t place, std::span<Sample> out) {
    if (payload.empty()) return;
    const float level = kOverload * std::pow(10.0F, -static_cast<float>(payload[0] & 0x7FU) / 20.0F) / kUniformRms;
    Lattice lattice(payload.subspan(1));
    for (std::uint64_t i = kWarmUp; i > 0; --i) lattice.next(uniform(place - i));
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = saturated(static_cast<int>(std::lrintf(level * lattice.next(uniform(place + i)))));
    }
}

}  // namespace codec
