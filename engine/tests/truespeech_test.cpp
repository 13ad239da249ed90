#include <algorithm>
#include <random>
#include <vector>

#include "test.hpp"
#include "truespeech_decoder.hpp"
#include "truespeech_encoder.hpp"
#include "truespeech_frame.hpp"

namespace codec::truespeech {

namespace {

constexpr int kNoiseFrames = 500;

FrameBytes noise(std::mt19937& dice) {
    FrameBytes bytes{};
    std::ranges::generate(bytes, [&] { return static_cast<std::uint8_t>(dice()); });
    return bytes;
}

}  // namespace

TEST("any 32 bytes are a frame, and the same frame is the same bytes") {
    std::mt19937 dice{1};
    for (int i = 0; i < kNoiseFrames; ++i) {
        const FrameBytes bytes = noise(dice);
        CHECK(pack(unpack(bytes)) == bytes);
    }
}

TEST("a field stands where the format has it") {
    Frame frame;
    frame.reflection[0] = 31;
    CHECK(pack(frame)[0] == 0x3E);
    frame = {};
    frame.interpolate = true;
    frame.reflection[7] = 7;
    CHECK(pack(frame)[0] == 0x01);
    CHECK(pack(frame)[3] == 0xE0);
    frame = {};
    frame.base = {0x5A, 0x3C};
    const FrameBytes bases = pack(frame);
    CHECK(bases[7] == 0x50 && bases[11] == 0xC0 && bases[15] == 0x30);
    CHECK(bases[19] == 0 && bases[23] == 0x80 && bases[27] == 0 && bases[31] == 0x80);
    frame = {};
    frame.pulses[1].codes[0] = 3;
    CHECK(pack(frame)[11] == 0x0C);
}

TEST("pulses are where their ranks say, with the sign and size that their codes say") {
    const std::array<std::uint8_t, 3> first{2, 5, 29};
    const std::array<std::uint8_t, 4> second{0, 7, 8, 28};
    Pulses pulses;
    pulses.first_rank = rank(first);
    pulses.second_rank = rank(second);
    pulses.codes = {0, 1, 2, 3, 0, 1, 2};
    pulses.gain = 13;
    Excitation expected{};
    expected[2] = 1024;
    expected[5] = 3072;
    expected[29] = -1024;
    expected[30] = -3072;
    expected[37] = 1024;
    expected[38] = 3072;
    expected[58] = -1024;
    CHECK(place(pulses) == expected);
}

TEST("ranks count all ways to place pulses, in order") {
    CHECK(rank(std::array<std::uint8_t, 3>{0, 1, 2}) == 0);
    CHECK(rank(std::array<std::uint8_t, 3>{27, 28, 29}) == 4059);
    CHECK(rank(std::array<std::uint8_t, 4>{0, 1, 2, 3}) == 0);
    CHECK(rank(std::array<std::uint8_t, 4>{26, 27, 28, 29}) == 27404);
}

TEST("frames that no encoder writes are decoded within 16 bits") {
    std::mt19937 dice{2};
    Decoder decoder;
    std::array<std::int16_t, kFrameSamples> samples{};
    for (int i = 0; i < kNoiseFrames; ++i) {
        decoder.decode(unpack(noise(dice)), samples);
        CHECK(std::ranges::max(samples) <= 0x7FFE && std::ranges::min(samples) >= -0x7FFE);
    }
}

TEST("any samples become whole frames") {
    std::mt19937 dice{3};
    for (const std::size_t count : {0U, 1U, 239U, 240U, 241U, 370U, 371U, 4801U}) {
        std::vector<std::int16_t> samples(count);
        std::ranges::generate(samples, [&] { return static_cast<std::int16_t>(dice()); });
        Encoder encoder;
        std::vector<std::uint8_t> frames;
        encoder.encode(samples, frames);
        encoder.finish(frames);
        CHECK(frames.size() == (count + kFrameSamples - 1) / kFrameSamples * kFrameBytes);
    }
}

}  // namespace codec::truespeech
