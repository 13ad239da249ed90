#pragma once

#include <chrono>
#include <cstdint>

#include "clock.hpp"
#include "packet.hpp"

namespace engine {

// Reads the digits that one leg sends as telephone events (RFC 4733 section 2.3):
//
//    |     event     |E|R| volume    |          duration             |
//
// All packets of one event have its timestamp; the last one is sent three times with E set. A digit is told once, with
// the first packet that says its end. If all of those are lost, it is told when the next event begins, or with the next
// packet of any kind after kEndSilence (section 2.5.2.2). A key that is held beyond the longest duration goes on under
// a new timestamp (section 2.5.1.3) and is still one digit.
//
// Limits: events above 15 (flash, tones) are no digits. One digit in kLeastGap, so that a hostile phone cannot flood
// whoever listens; nobody types faster. Redundant payloads (RFC 2198) are not read.
class DigitReader {
  public:
    static constexpr std::chrono::milliseconds kEndSilence{150};  // events come every 20 to 50 ms
    static constexpr std::chrono::milliseconds kLeastGap{30};     // RFC 4733 section 2.5.1.1: digits are 40 ms and more
    static constexpr char kNone = 0;

    // A packet of a telephone event. The digit that has ended, or kNone.
    char receive(const RtpHeader& header, Bytes payload, Time now) noexcept;
    // Any other packet of the leg.
    char pass(Time now) noexcept { return is_open_ && now - last_packet_ >= kEndSilence ? end(now) : kNone; }

  private:
    struct Event {
        std::uint32_t ssrc = 0;
        std::uint32_t timestamp = 0;
        std::uint8_t code = 0;
        std::uint16_t duration = 0;
    };

    static constexpr std::chrono::seconds kLatest{1};  // that a packet comes behind one of a later event

    bool is_of_the_past(const RtpHeader& header, Time now) const noexcept;
    bool may_tell(Time now) const noexcept { return now - last_told_ >= kLeastGap; }
    bool goes_on(const RtpHeader& header, std::uint8_t code) const noexcept;
    char end(Time now) noexcept;

    Event event_;
    bool is_known_ = false;  // event_ is one
    bool is_open_ = false;   // its digit was not told yet
    Time last_packet_{};
    Time last_told_{};
};

}  // namespace engine
