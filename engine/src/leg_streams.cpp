#include "leg_streams.hpp"

#include <algorithm>

namespace engine {

void LegStreams::receive(const RtpHeader& header, std::size_t octets, std::uint32_t clock_rate, Time now) noexcept {
    if (count_ == 0 || streams_[current_].ssrc() != header.ssrc) {
        if (count_ != 0) ++ssrc_changes_;
        current_ = find(header.ssrc);
        if (current_ == count_) {
            current_ = place_for_new();
            streams_[current_] = Stream(header, clock_rate);
        }
    }
    streams_[current_].receive(header, octets, clock_rate, now);
}

void LegStreams::pass_over_gap() noexcept {
    for (std::size_t i = 0; i < count_; ++i) streams_[i].pass_over_gap();
}

std::size_t LegStreams::find(std::uint32_t ssrc) const noexcept {
    const auto known = streams();
    const auto match = std::find_if(known.begin(), known.end(), [ssrc](const Stream& s) { return s.ssrc() == ssrc; });
    return static_cast<std::size_t>(match - known.begin());
}

// The next free place, or that of the stream that has been silent longest.
std::size_t LegStreams::place_for_new() noexcept {
    if (count_ < kMaxStreams) return count_++;
    const auto by_last_packet = [](const Stream& a, const Stream& b) { return a.last_packet() < b.last_packet(); };
    const auto oldest = std::min_element(streams_.begin(), streams_.end(), by_last_packet);
    add(retired_, *oldest);
    return static_cast<std::size_t>(oldest - streams_.begin());
}

LegStreams::Sums LegStreams::sums() const noexcept {
    Sums sums = retired_;
    for (const Stream& stream : streams()) add(sums, stream);
    return sums;
}

void LegStreams::add(Sums& sums, const Stream& stream) noexcept {
    sums.packets += stream.packets();
    sums.octets += stream.octets();
    sums.lost += stream.lost();
    sums.duplicates += stream.duplicates();
    sums.reordered += stream.reordered();
}

}  // namespace engine
