#include "look_back.hpp"

#include <vector>

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using std::chrono::milliseconds;

TappedPacket at_time(const Datagram& datagram, Time arrival) {
    return {.tap = TapId::kLookBack, .side = Side::kCaller, .arrival = arrival, .datagram = datagram};
}

}  // namespace

TEST("a look-back that is full forgets the oldest packets and keeps what its duration asks for") {
    LookBack look_back(milliseconds(5000));
    CHECK(!look_back.oldest());
    Time now = kStart;
    const Datagram datagram = rtp({}, 160);
    for (int i = 0; i < 6000; ++i) look_back.put(at_time(datagram, now += milliseconds(10)));  // two sides of a call
    CHECK(look_back.oldest() && *look_back.oldest() <= now - milliseconds(5000));
    std::vector<Time> kept;
    look_back.drain([&](const TappedPacket& packet) { kept.push_back(packet.arrival); });
    CHECK(kept.size() >= 500 && kept.size() < 6000 && kept.back() == now);
    for (std::size_t i = 1; i < kept.size(); ++i) CHECK(kept[i] == kept[i - 1] + milliseconds(10));
    CHECK(!look_back.oldest());
}

}  // namespace engine::test
