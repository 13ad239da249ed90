#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace engine {

using Bytes = std::span<const std::uint8_t>;

// Reads integers in network order from a datagram and never past its end: once a read did not fit, all later ones fail.
class ByteReader {
  public:
    explicit ByteReader(Bytes bytes) noexcept : rest_(bytes) {}

    std::optional<std::uint16_t> read_u16() noexcept;
    std::optional<std::uint32_t> read_u32() noexcept;
    bool skip(std::size_t octets) noexcept;
    std::size_t remaining() const noexcept { return rest_.size(); }

  private:
    Bytes rest_;
};

// The header of an RTP packet (RFC 3550 section 5.1):
//
//     0                   1                   2                   3
//    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//    |                           timestamp                           |
//    |                             SSRC                              |
//    |         CC times CSRC, then an extension if X is set          |
//
// Limit: padding is not looked at, because SRTP encrypts its length, and a relay must carry SRTP too.
struct RtpHeader {
    std::uint32_t timestamp;
    std::uint32_t ssrc;
    std::uint16_t sequence;
    std::uint8_t payload_type;
    bool marker;
    std::size_t size;  // of the header with CSRCs and extension: where the payload begins
};

// Nothing if the version is not 2 or the header does not fit into the datagram.
std::optional<RtpHeader> read_rtp(Bytes datagram) noexcept;

// The header of the first packet of a compound RTCP packet (RFC 3550 section 6.4.1; RFC 5506 lets it be any type).
//
// Limit: the packets behind the first are not looked at: in SRTCP (RFC 3711 section 3.4) they are encrypted.
struct RtcpHeader {
    std::uint32_t ssrc;
    std::uint8_t packet_type;
};

// Nothing if the version is not 2, the type is no RTCP type, or the first packet is longer than the datagram.
std::optional<RtcpHeader> read_rtcp(Bytes datagram) noexcept;

// The sender info of a sender report (RFC 3550 section 6.4.1) that a datagram begins with.
struct SenderReport {
    std::uint32_t ssrc;
    std::uint64_t ntp;
    std::uint32_t timestamp;
};

// Nothing if the datagram begins with something else.
std::optional<SenderReport> read_sender_report(Bytes datagram) noexcept;

// Which of the two a datagram on a shared port claims to be: RFC 5761 section 4 gives 192 to 223 in the second octet to
// RTCP.
bool claims_rtcp(Bytes datagram) noexcept;

}  // namespace engine
