#include "truespeech_frame.hpp"

#include <bit>

namespace codec::truespeech {

namespace {

// The numbers that follow no rule: they define the format.
constexpr std::array<std::int16_t, 32> kReflection0{-32192, -31900, -31538, -31139, -30715, -30242, -29737, -29196,
                                                    -28591, -27934, -27170, -26353, -25471, -24455, -23220, -21806,
                                                    -20086, -18166, -16092, -13876, -11463, -8749,  -5674,  -1901,
                                                    2415,   6858,   10732,  14367,  17913,  21610,  25539,  29621};
constexpr std::array<std::int16_t, 32> kReflection1{
    -24731, -19093, -14973, -11407, -8168, -5196, -2532, -167,  2139,  4358,  6482,  8522,  10441, 12280, 14054, 15762,
    17375,  18875,  20294,  21607,  22832, 23971, 25068, 26105, 27092, 27994, 28830, 29613, 30315, 30960, 31578, 32165};
constexpr std::array<std::int16_t, 16> kReflection2{-26888, -23628, -20667, -17837, -15183, -12596, -10129, -7650,
                                                    -5133,  -2496,  247,    3104,   6273,   9882,   14187,  19808};
constexpr std::array<std::int16_t, 16> kReflection3{-14764, -8462, -4182, -620,  2410,  5183,  7803,  10284,
                                                    12662,  14985, 17311, 19618, 21887, 24144, 26392, 28557};
constexpr std::array<std::int16_t, 16> kReflection4{-21529, -17496, -14308, -11482, -8946, -6700, -4574, -2536,
                                                    -472,   1615,   3767,   6072,   8618,  11659, 15266, 19961};
constexpr std::array<std::int16_t, 8> kReflection5{-10981, -3794, 1070, 5063, 8800, 12571, 16606, 21381};
constexpr std::array<std::int16_t, 8> kReflection6{-19120, -14299, -9856, -5737, -1917, 1874, 6161, 11800};
constexpr std::array<std::int16_t, 8> kReflection7{-12560, -6919, -2373, 1606, 5365, 9215, 13679, 19085};
constexpr std::array<Taps, kTapPairs> kTaps{
    {{-4817, 21049}, {21745, -6999}, {9760, -4546},  {2518, 11328}, {-4171, 11232}, {16353, 13113}, {17455, -6402},
     {17496, -1569}, {-3535, 17371}, {15792, -2299}, {20347, -261}, {9901, 3292},   {13250, 1849},  {4798, 17314},
     {7135, 7998},   {529, 1942},    {10987, 5695},  {1293, 14904}, {3358, 3448},   {5391, 13126},  {14500, 2941},
     {11613, 8159},  {6583, 10274},  {3481, 7954},   {6476, 3302}}};

constexpr std::array<std::span<const std::int16_t>, kOrder> kReflections{
    kReflection0, kReflection1, kReflection2, kReflection3, kReflection4, kReflection5, kReflection6, kReflection7};

// Gains are 4 dB apart and cut to whole numbers: 1024 * 2^((2g - 26) / 3).
constexpr std::array<std::int16_t, kPulseGains> make_scales() {
    constexpr double kStep = 1.5874010519681994;  // 2^(2/3)
    std::array<std::int16_t, kPulseGains> scales{};
    double scale = 2.519842099789746;  // 1024 * 2^(-26/3)
    for (auto& whole : scales) {
        whole = static_cast<std::int16_t>(scale + 1e-6);
        scale *= kStep;
    }
    return scales;
}
constexpr auto kScales = make_scales();
static_assert(kScales.front() == 2 && kScales[13] == 1024 && kScales.back() == 2580);

// kWays[n][k]: in how many ways k of n places can be chosen.
constexpr auto make_ways() {
    std::array<std::array<std::uint16_t, kSecondPulses + 1>, kHalfSamples + 1> ways{};
    for (std::size_t n = 0; n <= kHalfSamples; ++n) {
        ways[n][0] = 1;
        for (std::size_t k = 1; k <= kSecondPulses && n > 0; ++k) {
            ways[n][k] = static_cast<std::uint16_t>(ways[n - 1][k - 1] + ways[n - 1][k]);
        }
    }
    return ways;
}
constexpr auto kWays = make_ways();
static_assert(kWays[kHalfSamples][kFirstPulses] == 4060 && kWays[kHalfSamples][kSecondPulses] == 27405);

// Fields of a word, taken from its highest bit on.
class WordReader {
  public:
    explicit WordReader(std::span<const std::uint8_t, 4> bytes) noexcept
        : rest_(bytes[0] | std::uint32_t{bytes[1]} << 8 | std::uint32_t{bytes[2]} << 16 |
                std::uint32_t{bytes[3]} << 24) {}

    template <typename Field = std::uint8_t>
    Field take(int bits) noexcept {
        const auto field = static_cast<Field>(rest_ >> (32 - bits));
        rest_ <<= bits;
        return field;
    }

  private:
    std::uint32_t rest_;
};

class WordWriter {
  public:
    void put(int bits, unsigned field) noexcept { word_ = word_ << bits | field; }
    void store(std::span<std::uint8_t, 4> bytes) const noexcept {
        for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<std::uint8_t>(word_ >> (8 * i));
    }

  private:
    std::uint32_t word_ = 0;
};

// Widths of the reflection indices: what the sizes of the codebooks need.
int reflection_bits(std::size_t index) noexcept {
    return static_cast<int>(std::bit_width(kReflections[index].size() - 1));
}

void put_codes(WordWriter& word, const Pulses& pulses) noexcept {
    for (const auto code : pulses.codes) word.put(2, code);
}

void take_codes(WordReader& word, Pulses& pulses) noexcept {
    for (auto& code : pulses.codes) code = word.take(2);
}

// Places the pulses that `rank` tells into half a quarter; returns how many of `codes` they took.
std::size_t place_half(std::span<std::int16_t, kHalfSamples> half, std::size_t pulses, unsigned rank,
                       std::span<const std::uint8_t> codes, int scale) noexcept {
    constexpr std::array<int, 4> kTimes{1, 3, -1, -3};
    std::size_t placed = 0;
    for (std::size_t i = 0; i < kHalfSamples && placed < pulses; ++i) {
        const unsigned ways = kWays[kHalfSamples - 1 - i][pulses - placed - 1];
        if (rank >= ways) {
            rank -= ways;
        } else {
            half[i] = static_cast<std::int16_t>(kTimes[codes[placed++]] * scale);
        }
    }
    return placed;
}

}  // namespace

FrameBytes pack(const Frame& frame) noexcept {
    std::array<WordWriter, kFrameBytes / 4> words;
    for (std::size_t i = kOrder; i-- > 0;) words[0].put(reflection_bits(i), frame.reflection[i]);
    words[0].put(1, frame.interpolate ? 1 : 0);
    words[1].put(4, frame.base[0] >> 4U);
    for (std::size_t q = kQuarters; q-- > 0;) words[1].put(7, frame.pitch[q]);
    words[2].put(4, frame.base[1] & 15U);
    words[3].put(4, frame.base[1] >> 4U);
    for (std::size_t q = 0; q < kQuarters; ++q) {
        put_codes(words[2 + q / 2], frame.pulses[q ^ 1U]);
        auto& word = words[4 + q];
        word.put(1, frame.base[0] >> q & 1U);
        word.put(12, frame.pulses[q].first_rank);
        word.put(15, frame.pulses[q].second_rank);
        word.put(4, frame.pulses[q].gain);
    }
    FrameBytes bytes{};
    for (std::size_t i = 0; i < words.size(); ++i) words[i].store(std::span<std::uint8_t, 4>{bytes.data() + 4 * i, 4});
    return bytes;
}

Frame unpack(std::span<const std::uint8_t, kFrameBytes> bytes) noexcept {
    const auto word = [&](std::size_t i) { return WordReader{bytes.subspan(4 * i).first<4>()}; };
    std::array<WordReader, kFrameBytes / 4> words{word(0), word(1), word(2), word(3),
                                                  word(4), word(5), word(6), word(7)};
    Frame frame;
    for (std::size_t i = kOrder; i-- > 0;) frame.reflection[i] = words[0].take(reflection_bits(i));
    frame.interpolate = words[0].take(1) != 0;
    unsigned base0 = words[1].take<unsigned>(4) << 4;
    for (std::size_t q = kQuarters; q-- > 0;) frame.pitch[q] = words[1].take(7);
    const unsigned base1 = words[2].take<unsigned>(4) | words[3].take<unsigned>(4) << 4;
    for (std::size_t q = 0; q < kQuarters; ++q) {
        take_codes(words[2 + q / 2], frame.pulses[q ^ 1U]);
        auto& rest = words[4 + q];
        base0 |= rest.take<unsigned>(1) << q;
        frame.pulses[q].first_rank = rest.take<std::uint16_t>(12);
        frame.pulses[q].second_rank = rest.take<std::uint16_t>(15);
        frame.pulses[q].gain = rest.take(4);
    }
    frame.base = {static_cast<std::uint8_t>(base0), static_cast<std::uint8_t>(base1)};
    return frame;
}

Excitation place(const Pulses& pulses) noexcept {
    Excitation samples{};
    const std::span<std::int16_t, kQuarterSamples> all{samples};
    const std::span<const std::uint8_t> codes{pulses.codes};
    const int scale = kScales[pulses.gain];
    const auto taken = place_half(all.first<kHalfSamples>(), kFirstPulses, pulses.first_rank, codes, scale);
    place_half(all.last<kHalfSamples>(), kSecondPulses, pulses.second_rank, codes.subspan(taken), scale);
    return samples;
}

std::uint16_t rank(std::span<const std::uint8_t> places) noexcept {
    unsigned rank = 0;
    std::size_t next = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
        for (; next < places[i]; ++next) rank += kWays[kHalfSamples - 1 - next][places.size() - i - 1];
        ++next;
    }
    return static_cast<std::uint16_t>(rank);
}

std::int16_t pulse_scale(int gain) noexcept { return kScales[static_cast<std::size_t>(gain)]; }

std::span<const std::int16_t> reflection_codebook(std::size_t index) noexcept { return kReflections[index]; }

Taps taps(int pair) noexcept { return kTaps[static_cast<std::size_t>(pair)]; }

}  // namespace codec::truespeech
