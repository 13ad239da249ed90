#include "tap_ring.hpp"

#include <thread>
#include <vector>

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

constexpr std::size_t kNoLimit = ~std::size_t{0} / 2;

TappedPacket packet(const Datagram& datagram, std::uint32_t tap = 1) {
    return {.tap = TapId{tap}, .side = Side::kCalled, .arrival = kStart, .datagram = datagram};
}

}  // namespace

TEST("a tapped packet comes out as it went in") {
    TapRing ring(TapRing::kMinBytes);
    const Datagram datagram = rtp({.sequence = 5}, 33);
    CHECK(ring.put(packet(datagram, 9)));
    int seen = 0;
    ring.drain(ring.head(), kNoLimit, [&](const TappedPacket& got) {
        ++seen;
        CHECK(got.tap == TapId{9} && got.side == Side::kCalled && got.arrival == kStart);
        CHECK(Datagram(got.datagram.begin(), got.datagram.end()) == datagram);
    });
    CHECK(seen == 1);
}

TEST("a full ring refuses packets and takes them again when it was emptied") {
    TapRing ring(TapRing::kMinBytes);
    const Datagram datagram = rtp({}, 1000);
    std::uint64_t put = 0;
    while (ring.put(packet(datagram))) ++put;
    CHECK(put > 50);
    CHECK(ring.fill_permille() > 950);
    std::uint64_t taken = 0;
    ring.drain(ring.head(), kNoLimit, [&](const TappedPacket&) { ++taken; });
    CHECK(taken == put);
    CHECK(ring.put(packet(datagram)));
}

TEST("a position separates the packets before it from those after it") {
    TapRing ring(TapRing::kMinBytes);
    ring.put(packet(rtp({}), 1));
    const std::uint64_t middle = ring.head();
    ring.put(packet(rtp({}), 2));
    std::vector<TapId> order;
    const auto take = [&](const TappedPacket& got) { order.push_back(got.tap); };
    CHECK(ring.drain(middle, kNoLimit, take));
    CHECK((order == std::vector<TapId>{TapId{1}}));
    CHECK(ring.drain(ring.head(), kNoLimit, take));
    CHECK((order == std::vector<TapId>{TapId{1}, TapId{2}}));
}

TEST("a ring whose consumer keeps up uses its beginning alone, however much passes through") {
    TapRing ring(TapRing::kMinBytes);
    std::vector<const std::uint8_t*> places;
    const auto take = [&](const TappedPacket& got) { places.push_back(got.datagram.data()); };
    for (int i = 0; i < 1000; ++i) {
        CHECK(ring.put(packet(rtp({}, 160))) && ring.put(packet(rtp({}, 160))));
        CHECK(ring.fill_permille() < 10);
        CHECK(ring.drain(ring.head(), kNoLimit, take));
        CHECK(ring.fill_permille() == 0);
    }
    for (std::size_t i = 2; i < places.size(); ++i) CHECK(places[i] == places[i % 2]);
    CHECK(places.size() == 2000);
}

TEST("a ring that has begun anew has all its room") {
    TapRing ring(TapRing::kMinBytes);
    const Datagram datagram = rtp({}, 1000);
    const auto fill = [&] {
        int put = 0;
        while (ring.put(packet(datagram))) ++put;
        return put;
    };
    const int room = fill();
    ring.drain(ring.head(), kNoLimit, [](const TappedPacket&) {});
    CHECK(fill() == room);
}

TEST("a drain that is bounded in octets says that it did not reach the end") {
    TapRing ring(TapRing::kMinBytes);
    for (int i = 0; i < 10; ++i) ring.put(packet(rtp({})));
    int seen = 0;
    CHECK(!ring.drain(ring.head(), 300, [&](const TappedPacket&) { ++seen; }));
    CHECK(seen == 2);
}

TEST("two threads pass packets of all sizes round the ring without loss or damage") {
    TapRing ring(TapRing::kMinBytes);
    constexpr std::uint32_t kPackets = 100'000;
    std::thread producer([&ring] {
        for (std::uint32_t i = 0; i < kPackets; ++i) {
            const Datagram datagram(i * 7919 % 1500, static_cast<std::uint8_t>(i));
            while (!ring.put(packet(datagram, i + 1))) std::this_thread::yield();
        }
    });
    std::uint32_t next = 0;
    bool is_intact = true;
    while (next < kPackets) {
        ring.drain(ring.head(), kNoLimit, [&](const TappedPacket& got) {
            is_intact = is_intact && got.tap == TapId{next + 1} && got.datagram.size() == next * 7919 % 1500;
            for (const std::uint8_t octet : got.datagram)
                is_intact = is_intact && octet == static_cast<std::uint8_t>(next);
            ++next;
        });
        std::this_thread::yield();
    }
    producer.join();
    CHECK(is_intact);
}

}  // namespace engine::test
