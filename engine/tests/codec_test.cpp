#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <numbers>
#include <random>
#include <string_view>
#include <vector>

#include "comfort_noise.hpp"
#include "concealment.hpp"
#include "decode_packets.hpp"
#include "resample.hpp"
#include "test.hpp"

namespace codec::test {

namespace {

std::vector<Sample> tone(std::size_t count, double hertz, double rate, double first = 0.0) {
    std::vector<Sample> samples(count);
    for (std::size_t i = 0; i < count; ++i) {
        const double turns = (first + static_cast<double>(i)) * hertz / rate;
        samples[i] = static_cast<Sample>(std::lrint(10000.0 * std::sin(2.0 * std::numbers::pi * turns)));
    }
    return samples;
}

int worst_difference(std::span<const Sample> one, std::span<const Sample> other) {
    int worst = 0;
    for (std::size_t i = 0; i < one.size(); ++i) worst = std::max(worst, std::abs(one[i] - other[i]));
    return worst;
}

std::vector<std::int64_t> numbers(std::mt19937& dice, std::size_t count, std::int64_t low, std::int64_t high) {
    std::uniform_int_distribution<std::int64_t> any(low, high);
    std::vector<std::int64_t> drawn(count);
    for (std::int64_t& number : drawn) number = any(dice);
    return drawn;
}

}  // namespace

TEST("packets at any place, of any octets, touch nothing but the buffer") {
    std::mt19937 dice(7);
    for (int round = 0; round < 200; ++round) {
        for (const std::string_view name : {"PCMU", "PCMA", "L16", "G722", "GSM", "OPUS"}) {
            std::vector<std::uint8_t> data(2000);
            for (std::uint8_t& octet : data) octet = static_cast<std::uint8_t>(dice());
            const std::size_t count = 12;
            const auto start = numbers(dice, count, 0, 1000);
            const auto length = numbers(dice, count, 0, 1000);
            const auto at = numbers(dice, count, -3000, 5000);
            const auto gap_at = numbers(dice, count, -3000, 5000);
            auto gap = numbers(dice, count, -2000, 2000);
            for (std::size_t i = 0; i < count; i += 3) gap[i] = at[i] - gap_at[i] < 2000 ? at[i] - gap_at[i] : 0;
            std::vector<Sample> buffer(2000 + static_cast<std::size_t>(round));
            const PacketColumns packets{start, length, at, gap_at, gap};
            CHECK(packets.fits(data.size()));
            const auto decoder = make_decoder(name, 16000, 1);
            decode_packets(*decoder, 16000, data, packets, buffer);
        }
    }
}

TEST("columns that reach beyond the data, or are not of one length, do not fit") {
    const std::vector<std::int64_t> zero{0}, two{0, 0}, beyond{11}, negative{-1};
    CHECK((PacketColumns{zero, zero, zero, zero, zero}.fits(10)));
    CHECK((!PacketColumns{beyond, zero, zero, zero, zero}.fits(10)));
    CHECK((!PacketColumns{zero, beyond, zero, zero, zero}.fits(10)));
    CHECK((!PacketColumns{negative, zero, zero, zero, zero}.fits(10)));
    CHECK((!PacketColumns{zero, zero, two, zero, zero}.fits(10)));
}

TEST("a tone goes on through a gap as if nothing had been lost") {
    const auto whole = tone(2400, 200, 8000);
    auto broken = whole;
    std::fill(broken.begin() + 1600, broken.begin() + 1680, Sample{0});
    Concealment concealment(8000);
    concealment.fill(broken, 1600, 80);
    concealment.blend(broken, 1680);
    CHECK(worst_difference(whole, broken) < 500);  // it has begun to fade behind 10 ms
}

TEST("a long gap ends in silence") {
    auto samples = tone(4000, 150, 8000);
    Concealment concealment(8000);
    concealment.fill(samples, 1600, 1600);
    for (std::size_t i = 1600 + 480; i < 3200; ++i) CHECK(samples[i] == 0);
}

TEST("a resampled tone is the same tone, at any ratio and place") {
    for (const double rate : {8000.0, 16000.0, 44100.0, 48000.0}) {
        for (const double target : {8000.0, 16000.0, 48000.0}) {
            const auto source = tone(static_cast<std::size_t>(rate), 1000, rate);
            std::vector<Sample> out(static_cast<std::size_t>(target / 2));
            Resampler(rate / target).add(source, rate / 4, rate / target, out);
            CHECK(worst_difference(out, tone(out.size(), 1000, target, target / 4)) < 20);
        }
    }
}

TEST("a drifting clock is followed within the noise of a codec, and an even one copied") {
    const Resampler resampler(1.0);
    const auto source = tone(60000, 3000, 8000);
    std::vector<Sample> out(50000);
    resampler.add(source, 100.0, 1.0, out);
    CHECK(worst_difference(out, std::span(source).subspan(100, out.size())) == 0);
    std::fill(out.begin(), out.end(), Sample{0});
    resampler.add(source, 100.25, 1.0002, out);
    double error = 0.0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const double turns = (100.25 + 1.0002 * static_cast<double>(i)) * 3000.0 / 8000.0;
        const double difference = out[i] - 10000.0 * std::sin(2.0 * std::numbers::pi * turns);
        error += difference * difference;
    }
    CHECK(std::sqrt(error / static_cast<double>(out.size())) < 15.0);  // -53 dB
}

TEST("two halves of a resampled signal are the same as the whole") {
    const Resampler resampler(1.0);
    const auto source = tone(9000, 700, 8000);
    std::vector<Sample> whole(8000), halves(8000);
    const double step = 1.0 + 1.0 / 4096;
    resampler.add(source, 20.5, step, whole);
    resampler.add(source, 20.5, step, std::span(halves).first(4096));
    resampler.add(source, 20.5 + 4096 * step, step, std::span(halves).subspan(4096));
    CHECK(worst_difference(whole, halves) == 0);
}

TEST("comfort noise has its level whatever its spectrum, and begins anywhere") {
    for (const std::uint8_t coefficient : {std::uint8_t{127}, std::uint8_t{20}, std::uint8_t{240}}) {
        const std::vector<std::uint8_t> payload{40, coefficient, 127};
        std::vector<Sample> noise(40000), part(1000);
        comfort_noise(payload, 5000, noise);
        double energy = 0.0;
        for (const Sample sample : noise) energy += static_cast<double>(sample) * sample;
        const double level = 20.0 * std::log10(std::sqrt(energy / static_cast<double>(noise.size())) / 32767.0);
        CHECK(std::abs(level + 40.0) < 1.0);
        comfort_noise(payload, 5000 + 2000, part);
        CHECK(worst_difference(part, std::span(noise).subspan(2000, part.size())) <= 1);
    }
}

}  // namespace codec::test
