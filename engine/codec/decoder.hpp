// Turns the payloads of one RTP stream into mono samples. Most codecs remember what they heard, so an object serves one
// stream, in the order in which it was spoken. Knows nothing of time: where samples belong is the caller's business.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "audio.hpp"

namespace codec {

class Decoder {
  public:
    virtual ~Decoder() = default;

    // The most samples that decode() makes of a payload of so many octets.
    virtual std::size_t capacity(std::size_t octets) const = 0;

    // The number of samples written; 0 if the payload is broken.
    virtual std::size_t decode(Octets payload, std::span<Sample> out) = 0;

    // Fills what was lost. `next` is the payload behind the gap, or empty if more is missing in between; it may hold
    // a copy of what was lost. False if the codec has no concealment of its own.
    virtual bool conceal(Octets next, std::span<Sample> gap);
};

// `name` in upper case as in RFC 3551, or as docs/sasf.md has it; `rate` is that of the samples. Null where there is no
// such decoder.
std::unique_ptr<Decoder> make_decoder(std::string_view name, int rate, int channels);

}  // namespace codec
