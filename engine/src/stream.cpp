#include "stream.hpp"

#include <cstdlib>

namespace engine {

namespace {

constexpr std::uint16_t kMaxDropout = 3000;   // RFC 3550 A.1: a gap of a minute at 50 packets/s
constexpr std::uint16_t kMaxMisorder = 100;   // RFC 3550 A.1: two seconds at 50 packets/s
constexpr std::uint64_t kFirstCycle = 65536;  // extended numbers begin here, so that a packet before the first has one

// Arrival in units of the media clock, modulo 2^32 as RTP timestamps are.
std::uint32_t media_ticks(Time now, std::uint32_t clock_rate) noexcept {
    const auto since_epoch = now.time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
    const auto rest = static_cast<std::uint64_t>((since_epoch - seconds).count());
    const auto whole = static_cast<std::uint64_t>(seconds.count()) * clock_rate;
    return static_cast<std::uint32_t>(whole + rest * clock_rate / 1'000'000'000U);
}

}  // namespace

Stream::Stream(const RtpHeader& first, std::uint32_t clock_rate) noexcept
    : ssrc_(first.ssrc), clock_rate_(clock_rate), highest_(kFirstCycle + first.sequence - 1), base_(highest_ + 1) {}

void Stream::receive(const RtpHeader& header, std::size_t octets, std::uint32_t clock_rate, Time now) noexcept {
    ++packets_;
    octets_ += octets;
    last_packet_ = now;
    if (has_gap_) begin_behind_gap(header.sequence);
    switch (place(header.sequence)) {
        case Place::kNew:
            ++received_;
            update_jitter(header, clock_rate, now);
            break;
        case Place::kLate:
            ++received_;
            ++reordered_;
            break;
        case Place::kDuplicate:
            ++duplicates_;
            break;
        case Place::kUnplaced:
            break;
    }
    payload_type_ = header.payload_type;
}

Stream::Place Stream::place(std::uint16_t sequence) noexcept {
    const auto ahead = static_cast<std::uint16_t>(sequence - static_cast<std::uint16_t>(highest_));
    const auto behind = static_cast<std::uint16_t>(-ahead);
    if (behind < kMaxMisorder) return place_behind(behind);
    if (ahead >= kMaxDropout) {
        if (!has_bad_sequence_ || sequence != bad_sequence_) {
            has_bad_sequence_ = true;
            bad_sequence_ = static_cast<std::uint16_t>(sequence + 1);
            return Place::kUnplaced;
        }
        restart(sequence);
        return Place::kNew;
    }
    has_bad_sequence_ = false;
    highest_ += ahead;
    recent_ = (ahead < 64 ? recent_ << ahead : 0) | 1;
    return Place::kNew;
}

Stream::Place Stream::place_behind(std::uint16_t distance) noexcept {
    has_bad_sequence_ = false;
    if (distance < 64) {
        const std::uint64_t bit = std::uint64_t{1} << distance;
        if ((recent_ & bit) != 0) return Place::kDuplicate;
        recent_ |= bit;
    }
    const std::uint64_t extended = highest_ - distance;
    if (extended < base_) base_ = extended;
    return Place::kLate;
}

void Stream::restart(std::uint16_t sequence) noexcept {
    lost_before_ = lost();
    ++restarts_;
    has_bad_sequence_ = false;
    has_transit_ = false;
    highest_ = kFirstCycle + sequence;
    base_ = highest_ - 1;  // the packet that announced the jump belongs to the new count
    recent_ = 0b11;
    received_ = 1;  // and so is received; the present one is counted by the caller
}

void Stream::begin_behind_gap(std::uint16_t sequence) noexcept {
    lost_before_ = lost();
    has_gap_ = false;
    has_bad_sequence_ = false;
    has_transit_ = false;
    highest_ = kFirstCycle + sequence - 1;
    base_ = highest_ + 1;
    recent_ = 0;
    received_ = 0;
}

std::uint64_t Stream::lost() const noexcept {
    const std::uint64_t expected = highest_ - base_ + 1;
    return lost_before_ + (expected > received_ ? expected - received_ : 0);
}

void Stream::update_jitter(const RtpHeader& header, std::uint32_t clock_rate, Time now) noexcept {
    if (clock_rate != clock_rate_) {
        clock_rate_ = clock_rate;
        has_transit_ = false;
        jitter_ = 0;
    }
    if (has_transit_ && header.timestamp == last_timestamp_) return;
    const std::uint32_t transit = media_ticks(now, clock_rate) - header.timestamp;
    if (has_transit_) {
        const std::int64_t difference = static_cast<std::int32_t>(transit - transit_);
        const auto distance = static_cast<std::uint64_t>(std::abs(difference));
        jitter_ = jitter_ + distance - ((jitter_ + 8) >> 4);
    }
    has_transit_ = true;
    last_timestamp_ = header.timestamp;
    transit_ = transit;
}

double Stream::jitter_ms() const noexcept {
    return clock_rate_ == 0 ? 0.0 : static_cast<double>(jitter_) / 16.0 * 1000.0 / static_cast<double>(clock_rate_);
}

}  // namespace engine
