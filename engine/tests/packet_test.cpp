#include "packet.hpp"

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

TEST("a plain RTP header is read field by field") {
    const auto header =
        read_rtp(rtp({.sequence = 0xFFFE, .timestamp = 0x80000001, .ssrc = 0xDEADBEEF, .payload_type = 0x80 | 8}));
    CHECK(header.has_value());
    CHECK(header->sequence == 0xFFFE);
    CHECK(header->timestamp == 0x80000001);
    CHECK(header->ssrc == 0xDEADBEEF);
    CHECK(header->payload_type == 8);
    CHECK(header->marker);
    CHECK(header->size == 12);
}

TEST("CSRCs and the extension belong to the header") {
    Datagram datagram = rtp({}, 0);
    datagram[0] = 0x80 | 0x10 | 2;
    put_u32(datagram, 1);
    put_u32(datagram, 2);
    datagram.insert(datagram.end(), {0xBE, 0xDE, 0, 1, 9, 9, 9, 9, 0x55});
    const auto header = read_rtp(datagram);
    CHECK(header && header->size == 12 + 8 + 4 + 4);
}

TEST("a header that does not fit the datagram is refused at every length") {
    Datagram datagram = rtp({}, 0);
    datagram[0] = 0x80 | 0x10 | 15;
    datagram.resize(12 + 60, 0);
    datagram.insert(datagram.end(), {0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(read_rtp(datagram));
    for (std::size_t size = 0; size < datagram.size(); ++size) CHECK(!read_rtp(Bytes(datagram).first(size)));
}

TEST("versions other than 2 are not RTP: STUN, DTLS, version 1") {
    for (const int first : {0x00, 0x01, 0x14, 0x16, 0x40, 0xC0}) {
        Datagram datagram = rtp({});
        datagram[0] = static_cast<std::uint8_t>(first);
        CHECK(!read_rtp(datagram));
    }
}

TEST("RTCP is told from RTP by its second octet, 192 to 223") {
    for (unsigned octet = 0; octet < 256; ++octet) {
        Datagram datagram = rtcp();
        datagram[1] = static_cast<std::uint8_t>(octet);
        CHECK(claims_rtcp(datagram) == (octet >= 192 && octet <= 223));
        CHECK(read_rtcp(datagram).has_value() == claims_rtcp(datagram));
    }
}

TEST("an RTCP packet longer than its datagram is refused") {
    Datagram datagram = rtcp(7);
    CHECK(read_rtcp(datagram) && read_rtcp(datagram)->ssrc == 7);
    datagram[3] = 2;
    CHECK(!read_rtcp(datagram));
    CHECK(!read_rtcp(Bytes(rtcp()).first(7)));
}

TEST("what follows the first RTCP packet is not looked at, so that SRTCP passes") {
    Datagram datagram = rtcp();
    datagram.insert(datagram.end(), {0x12, 0x34, 0x56, 0x78, 0x9A});
    CHECK(read_rtcp(datagram));
}

}  // namespace engine::test
