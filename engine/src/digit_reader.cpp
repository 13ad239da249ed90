#include "digit_reader.hpp"

#include <string_view>

namespace engine {

namespace {

constexpr std::string_view kDigits = "0123456789*#ABCD";  // RFC 4733 section 3.2
constexpr std::uint16_t kEndBit = 0x80;

}  // namespace

char DigitReader::receive(const RtpHeader& header, Bytes payload, Time now) noexcept {
    ByteReader reader(payload);
    const auto code_and_flags = reader.read_u16();
    const auto duration = reader.read_u16();
    if (!duration || is_of_the_past(header, now)) return kNone;
    const auto code = static_cast<std::uint8_t>(*code_and_flags >> 8);
    const bool is_new = !is_known_ || header.ssrc != event_.ssrc || header.timestamp != event_.timestamp;
    char told = kNone;
    if (is_new) {
        if (is_open_ && may_tell(now) && !goes_on(header, code)) told = end(now);
        is_known_ = is_open_ = true;
    }
    event_ = {.ssrc = header.ssrc, .timestamp = header.timestamp, .code = code, .duration = *duration};
    last_packet_ = now;
    const bool has_ended = (*code_and_flags & kEndBit) != 0;
    return has_ended && is_open_ && may_tell(now) ? end(now) : told;
}

// Late, by another way through the network: an event that was told already must not be told again. After a while, it
// is the phone that has begun a new count of time.
bool DigitReader::is_of_the_past(const RtpHeader& header, Time now) const noexcept {
    return is_known_ && header.ssrc == event_.ssrc && now - last_packet_ < kLatest &&
           static_cast<std::int32_t>(header.timestamp - event_.timestamp) < 0;
}

bool DigitReader::goes_on(const RtpHeader& header, std::uint8_t code) const noexcept {
    constexpr std::uint16_t kLongest = 0xFFFF;
    return code == event_.code && header.ssrc == event_.ssrc && event_.duration > kLongest / 2 &&
           header.timestamp - event_.timestamp <= kLongest;
}

char DigitReader::end(Time now) noexcept {
    is_open_ = false;
    if (event_.code >= kDigits.size()) return kNone;
    last_told_ = now;
    return kDigits[event_.code];
}

}  // namespace engine
