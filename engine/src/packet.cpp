#include "packet.hpp"

namespace engine {

namespace {

constexpr unsigned kVersion = 2;
constexpr std::uint8_t kFirstRtcpType = 192;
constexpr std::uint8_t kLastRtcpType = 223;
constexpr std::uint8_t kSenderReportType = 200;

}  // namespace

std::optional<std::uint16_t> ByteReader::read_u16() noexcept {
    const Bytes field = rest_;
    if (!skip(2)) return std::nullopt;
    return static_cast<std::uint16_t>(field[0] << 8 | field[1]);
}

std::optional<std::uint32_t> ByteReader::read_u32() noexcept {
    const Bytes field = rest_;
    if (!skip(4)) return std::nullopt;
    return static_cast<std::uint32_t>(field[0]) << 24 | static_cast<std::uint32_t>(field[1]) << 16 |
           static_cast<std::uint32_t>(field[2]) << 8 | field[3];
}

bool ByteReader::skip(std::size_t octets) noexcept {
    if (octets > rest_.size()) {
        rest_ = {};
        return false;
    }
    rest_ = rest_.subspan(octets);
    return true;
}

std::optional<RtpHeader> read_rtp(Bytes datagram) noexcept {
    ByteReader reader(datagram);
    const auto first = reader.read_u16();
    const auto sequence = reader.read_u16();
    const auto timestamp = reader.read_u32();
    const auto ssrc = reader.read_u32();
    if (!ssrc || *first >> 14 != kVersion) return std::nullopt;
    const std::size_t csrc_count = *first >> 8 & 0x0F;
    if (!reader.skip(4 * csrc_count)) return std::nullopt;
    const bool has_extension = (*first & 0x1000) != 0;
    if (has_extension) {
        reader.skip(2);  // defined by the profile
        const auto words = reader.read_u16();
        if (!words || !reader.skip(4 * std::size_t{*words})) return std::nullopt;
    }
    return RtpHeader{.timestamp = *timestamp,
                     .ssrc = *ssrc,
                     .sequence = *sequence,
                     .payload_type = static_cast<std::uint8_t>(*first & 0x7F),
                     .marker = (*first & 0x80) != 0,
                     .size = datagram.size() - reader.remaining()};
}

std::optional<RtcpHeader> read_rtcp(Bytes datagram) noexcept {
    ByteReader reader(datagram);
    const auto first = reader.read_u16();
    const auto words = reader.read_u16();
    const auto ssrc = reader.read_u32();
    if (!ssrc || *first >> 14 != kVersion || !claims_rtcp(datagram)) return std::nullopt;
    if (4 * (std::size_t{*words} + 1) > datagram.size()) return std::nullopt;
    return RtcpHeader{.ssrc = *ssrc, .packet_type = static_cast<std::uint8_t>(*first & 0xFF)};
}

std::optional<SenderReport> read_sender_report(Bytes datagram) noexcept {
    const auto header = read_rtcp(datagram);
    if (!header || header->packet_type != kSenderReportType) return std::nullopt;
    ByteReader reader(datagram);
    reader.skip(8);
    const auto seconds = reader.read_u32();
    const auto fraction = reader.read_u32();
    const auto timestamp = reader.read_u32();
    if (!timestamp) return std::nullopt;
    return SenderReport{
        .ssrc = header->ssrc, .ntp = std::uint64_t{*seconds} << 32 | *fraction, .timestamp = *timestamp};
}

bool claims_rtcp(Bytes datagram) noexcept {
    return datagram.size() >= 2 && datagram[1] >= kFirstRtcpType && datagram[1] <= kLastRtcpType;
}

}  // namespace engine
