#pragma once

#include <array>
#include <cstdint>

#include "flow.hpp"

namespace engine {

// What a recording has of one side, by the statistics of RFC 3550.
struct SideCounts {
    std::uint64_t packets = 0;
    std::uint64_t lost = 0;
    std::uint64_t late = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t ssrc_changes = 0;
    double jitter_ms = 0;
};

// Something that the owner of the engine should hear of. One shape for all kinds, so that it fits a ring.
struct Event {
    enum class Kind : std::uint8_t { kLatched, kDigit, kRecordingClosed, kRecordingFailed };

    Kind kind = Kind::kLatched;
    Leg leg = Leg::kA;                  // kLatched, kDigit
    Address address{};                  // kLatched
    char digit = 0;                     // kDigit: 0 to 9, *, #, A to D
    std::uint64_t subject = 0;          // kLatched, kDigit: the session; else the recording
    std::array<SideCounts, 2> sides{};  // kRecordingClosed, by Side
    std::uint64_t octets = 0;           // kRecordingClosed: size of the file
    std::uint64_t overflow = 0;         // kRecordingClosed
    int error = 0;                      // errno, or 0
};

}  // namespace engine
