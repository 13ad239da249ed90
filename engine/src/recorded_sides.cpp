#include "recorded_sides.hpp"

#include <array>
#include <charconv>

namespace engine {

namespace {

// In no locale's way of writing numbers.
std::string text_of(double milliseconds) {
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), milliseconds, std::chars_format::fixed, 2);
    return end.ec == std::errc() ? std::string(digits.begin(), end.ptr) : "0";
}

SideCounts counts_of(const LegStreams& side) noexcept {
    const LegStreams::Sums sums = side.sums();
    const Stream* const current = side.current();
    return {.packets = sums.packets,
            .lost = sums.lost,
            .late = sums.reordered,
            .duplicates = sums.duplicates,
            .ssrc_changes = side.ssrc_changes(),
            .jitter_ms = current == nullptr ? 0.0 : current->jitter_ms()};
}

std::string json_of(const SideCounts& side) {
    const auto text = [](std::uint64_t count) { return std::to_string(count); };
    return R"({"packets":)" + text(side.packets) + R"(,"lost":)" + text(side.lost) + R"(,"late":)" + text(side.late) +
           R"(,"duplicates":)" + text(side.duplicates) + R"(,"ssrc_changes":)" + text(side.ssrc_changes) +
           R"(,"jitter_ms":)" + text_of(side.jitter_ms) + "}";
}

}  // namespace

void RecordedSides::receive(Side side, const RtpHeader& header, std::size_t octets, Time arrival) noexcept {
    sides_[index_of(side)].receive(header, octets, clock_rates_[index_of(side)][header.payload_type], arrival);
}

void RecordedSides::pass_over_gap() noexcept {
    for (LegStreams& side : sides_) side.pass_over_gap();
}

std::array<SideCounts, 2> RecordedSides::counts() const noexcept {
    return {counts_of(sides_[0]), counts_of(sides_[1])};
}

std::string RecordedSides::json() const {
    const auto sides = counts();
    return "[" + json_of(sides[0]) + "," + json_of(sides[1]) + "]";
}

}  // namespace engine
