// Codecs without memory: G.711, and L16 (RFC 3551 4.5.11), whose channels are mixed down.
#pragma once

#include "decoder.hpp"
#include "g711.hpp"

namespace codec {

inline constexpr int kMaxPcmChannels = 8;  // RFC 3551 4.1 names the orders of at most six

class TableDecoder final : public Decoder {
  public:
    explicit TableDecoder(const ValueTable& values) : values_(values) {}
    std::size_t capacity(std::size_t octets) const override { return octets; }
    std::size_t decode(Octets payload, std::span<Sample> out) override;

  private:
    const ValueTable& values_;
};

class PcmDecoder final : public Decoder {
  public:
    explicit PcmDecoder(int channels) : channels_(static_cast<std::size_t>(channels)) {}
    std::size_t capacity(std::size_t octets) const override { return octets / 2 / channels_; }
    std::size_t decode(Octets payload, std::span<Sample> out) override;

  private:
    std::size_t channels_;
};

}  // namespace codec
