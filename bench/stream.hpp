// One RTP stream of the load: what its packets look like, and what was heard of them at the other end.
//
// Payload of every packet, the rest of the 160 bytes is silence:
//
//    0         4        8          12         16            24
//    +---------+--------+----------+----------+-------------+
//    | u32     | u32    | u32      | u32      | i64 sent at |   in the byte order of this machine,
//    | magic   | run    | stream   | number   | (ns, Unix)  |   which both sends and receives
//    +---------+--------+----------+----------+-------------+
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace bench {

inline constexpr std::uint32_t kMagic = 0x4B524D42;  // "BMRK"
inline constexpr std::size_t kHeaderBytes = 12;
inline constexpr std::size_t kPayloadBytes = 160;
inline constexpr std::size_t kPacketBytes = kHeaderBytes + kPayloadBytes;
inline constexpr std::uint8_t kRtpVersion = 0x80;
inline constexpr std::uint8_t kMarkerBit = 0x80;

struct Mark {
    std::uint32_t magic;
    std::uint32_t run;
    std::uint32_t stream;
    std::uint32_t number;
    std::int64_t sent_ns;
};
static_assert(sizeof(Mark) == 24);

struct RtpHeader {
    std::uint16_t sequence;
    std::uint32_t timestamp;
    std::uint32_t source;
    std::uint8_t payload_type;

    friend bool operator==(const RtpHeader&, const RtpHeader&) = default;
};

inline RtpHeader read_header(const std::uint8_t* packet) {
    std::uint16_t sequence = 0;
    std::uint32_t timestamp = 0;
    std::uint32_t source = 0;
    std::memcpy(&sequence, packet + 2, sizeof sequence);
    std::memcpy(&timestamp, packet + 4, sizeof timestamp);
    std::memcpy(&source, packet + 8, sizeof source);
    return {ntohs(sequence), ntohl(timestamp), ntohl(source), static_cast<std::uint8_t>(packet[1] & 0x7F)};
}

inline void write_header(std::uint8_t* packet, const RtpHeader& header, bool marker) {
    const std::uint16_t sequence = htons(header.sequence);
    const std::uint32_t timestamp = htonl(header.timestamp);
    const std::uint32_t source = htonl(header.source);
    packet[0] = kRtpVersion;
    packet[1] = static_cast<std::uint8_t>(header.payload_type | (marker ? kMarkerBit : 0));
    std::memcpy(packet + 2, &sequence, sizeof sequence);
    std::memcpy(packet + 4, &timestamp, sizeof timestamp);
    std::memcpy(packet + 8, &source, sizeof source);
}

// The header of packet `number` of a stream whose packet 0 has `first`.
inline RtpHeader advanced(const RtpHeader& first, std::uint32_t number) {
    return {static_cast<std::uint16_t>(first.sequence + number),
            first.timestamp + number * static_cast<std::uint32_t>(kPayloadBytes), first.source, first.payload_type};
}

// The header that packet 0 would have had, when packet `number` has `header`.
inline RtpHeader rewound(const RtpHeader& header, std::uint32_t number) { return advanced(header, ~number + 1); }

// One direction of one call: what a side sends, and what the other side has heard of it.
struct Stream {
    RtpHeader first{};
    std::uint32_t to_send = 0;
    std::uint32_t sent = 0;

    std::uint32_t received = 0;  // different packets
    std::uint32_t duplicates = 0;
    std::uint32_t reordered = 0;
    std::uint32_t misdelivered = 0;   // heard by somebody else
    std::uint32_t header_breaks = 0;  // a relay may change SSRC and numbers, but only once and for all
    std::uint32_t highest = 0;
    RtpHeader heard{};  // as packet 0 would have had it
    std::vector<bool> seen;

    // Whether it had not been heard before.
    bool take(std::uint32_t number, const RtpHeader& header) {
        if (seen[number]) {
            ++duplicates;
            return false;
        }
        seen[number] = true;
        const RtpHeader origin = rewound(header, number);
        header_breaks += received > 0 && origin != heard;
        heard = origin;
        reordered += received > 0 && number < highest;
        highest = std::max(highest, number);
        ++received;
        return true;
    }
};

}  // namespace bench
