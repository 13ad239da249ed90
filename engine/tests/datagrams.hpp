#pragma once

// Datagrams and addresses as tests need them.

#include <cstdint>
#include <vector>

#include "address.hpp"
#include "clock.hpp"

namespace engine::test {

using Datagram = std::vector<std::uint8_t>;

struct RtpFields {
    std::uint16_t sequence = 0;
    std::uint32_t timestamp = 0;
    std::uint32_t ssrc = 0x11223344;
    std::uint8_t payload_type = 0;
};

inline void put_u32(Datagram& to, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::uint8_t>(value >> shift));
}

inline Datagram rtp(const RtpFields& fields, std::size_t payload = 160) {
    Datagram datagram{0x80, fields.payload_type, static_cast<std::uint8_t>(fields.sequence >> 8),
                      static_cast<std::uint8_t>(fields.sequence)};
    put_u32(datagram, fields.timestamp);
    put_u32(datagram, fields.ssrc);
    datagram.insert(datagram.end(), payload, 0xFF);
    return datagram;
}

// A packet of a telephone event (RFC 4733).
inline Datagram telephone_event(const RtpFields& fields, std::uint8_t code, std::uint16_t duration, bool is_end) {
    Datagram datagram = rtp(fields, 0);
    datagram.insert(datagram.end(), {code, static_cast<std::uint8_t>(is_end ? 0x8A : 0x0A),
                                     static_cast<std::uint8_t>(duration >> 8), static_cast<std::uint8_t>(duration)});
    return datagram;
}

// An empty receiver report.
inline Datagram rtcp(std::uint32_t ssrc = 0x11223344) {
    Datagram datagram{0x80, 201, 0, 1};
    put_u32(datagram, ssrc);
    return datagram;
}

inline Datagram sender_report(std::uint32_t ssrc = 0x11223344) {
    Datagram datagram{0x80, 200, 0, 6};
    for (const std::uint32_t word : {ssrc, 0xE0000000U, 0x80000000U, 160U, 1U, 160U}) put_u32(datagram, word);
    return datagram;
}

inline Address at(const char* ip, std::uint16_t port) { return Address::parse(ip, port).value(); }

constexpr Time kStart{std::chrono::seconds(1'700'000'000)};

}  // namespace engine::test
