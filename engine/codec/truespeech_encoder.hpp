#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "truespeech_decoder.hpp"
#include "truespeech_frame.hpp"
#include "truespeech_target.hpp"

namespace codec::truespeech {

// Speech to frames, by analysis-by-synthesis: of the excitations that the format can tell, the one is chosen that makes
// the receiver's sound, formant filter and all, most like the source to an ear.
//
// Frames are in step with the source: frame n is samples 240 n on. Looks kAfter samples ahead, so frames come later
// than the samples that complete them.
class Encoder {
  public:
    // Appends the frames that can be made now.
    void encode(std::span<const std::int16_t> samples, std::vector<std::uint8_t>& frames);
    // Appends what is left, the last frame filled up with silence. A fresh recording may follow.
    void finish(std::vector<std::uint8_t>& frames);

  private:
    // Two quarters with one base of lags, and what the receiver is like after them.
    struct Half {
        std::uint8_t base;
        Decoder decoder;
        Weighting weighting;
        std::array<std::uint8_t, 2> pitch{};
        std::array<Pulses, 2> pulses{};
        float error = 0;
    };

    Frame encode_frame();
    Half encode_half(std::size_t half, const Decoder& decoder) const;
    void encode_quarter(Half& half, std::size_t quarter) const;
    Quarter source(std::size_t quarter) const;

    static constexpr std::size_t kBefore = 180;  // samples that the longest lag of the second quarter reaches back
    static constexpr std::size_t kAfter = 130;
    static constexpr std::size_t kBuffer = kBefore + kFrameSamples + kAfter;
    std::vector<float> buffer_ = std::vector<float>(kBefore);
    Decoder decoder_;
    Weighting weighting_;
};

}  // namespace codec::truespeech
