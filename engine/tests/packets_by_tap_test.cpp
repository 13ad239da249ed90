#include "packets_by_tap.hpp"

#include <utility>

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using Seen = std::vector<std::pair<std::uint32_t, std::size_t>>;  // tap, octets

Seen taken(PacketsByTap& packets) {
    Seen seen;
    packets.take_all([&seen](const TappedPacket& packet) {
        seen.emplace_back(static_cast<std::uint32_t>(packet.tap), packet.datagram.size());
    });
    return seen;
}

}  // namespace

TEST("packets of many taps come out tap by tap, each tap's in the order in which they came") {
    const Datagram octets(9);
    PacketsByTap packets;
    const auto add = [&](std::uint32_t tap, std::size_t size) {
        packets.add(
            {.tap = TapId{tap}, .side = Side::kCaller, .arrival = kStart, .datagram = Bytes(octets).first(size)});
    };
    for (std::size_t size = 1; size <= 3; ++size) {
        for (const std::uint32_t tap : {7U, 0U, 3U}) add(tap, size);
    }
    CHECK((taken(packets) == Seen{{7, 1}, {7, 2}, {7, 3}, {0, 1}, {0, 2}, {0, 3}, {3, 1}, {3, 2}, {3, 3}}));
    CHECK(taken(packets).empty());
    add(3, 5);
    add(8, 6);
    CHECK((taken(packets) == Seen{{3, 5}, {8, 6}}));
}

}  // namespace engine::test
