#include "latch.hpp"

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Decision = Latch::Decision;

const Address kAnnounced = at("192.0.2.1", 4000);
const Address kNat = at("198.51.100.7", 61000);
const Address kOther = at("203.0.113.9", 5555);
constexpr std::uint32_t kSsrc = 0xABCD;

Latch announced(Latching latching = Latching::kSymmetric) {
    Latch latch;
    latch.announce(kAnnounced, latching, kStart);
    return latch;
}

}  // namespace

TEST("packets go to the announced address until a source is learned, then to the source") {
    Latch latch = announced();
    CHECK(latch.destination() == kAnnounced);
    CHECK(latch.judge(kNat, kSsrc, kStart) == Decision::kLearned);
    CHECK(latch.destination() == kNat);
    CHECK(latch.judge(kNat, kSsrc, kStart + milliseconds(20)) == Decision::kTaken);
}

TEST("the announced address locks at once") {
    Latch latch = announced();
    CHECK(latch.judge(kAnnounced, kSsrc, kStart) == Decision::kLearned);
    CHECK(latch.judge(kOther, kSsrc, kStart + seconds(1)) == Decision::kForeign);
}

TEST("the announced address takes over from an intruder in the learning window") {
    Latch latch = announced();
    CHECK(latch.judge(kOther, kSsrc, kStart) == Decision::kLearned);
    CHECK(latch.judge(kAnnounced, kSsrc, kStart + milliseconds(1)) == Decision::kLearned);
    CHECK(latch.judge(kOther, kSsrc, kStart + milliseconds(500)) == Decision::kForeign);
    CHECK(latch.destination() == kAnnounced);
}

TEST("in the learning window a source that talks is not displaced, a silent one is") {
    Latch latch = announced();
    latch.judge(kNat, kSsrc, kStart);
    CHECK(latch.judge(kOther, kSsrc, kStart + milliseconds(99)) == Decision::kForeign);
    CHECK(latch.judge(kOther, kSsrc, kStart + milliseconds(100)) == Decision::kLearned);
}

TEST("after the learning window even a silent source is kept") {
    Latch latch = announced();
    latch.judge(kNat, kSsrc, kStart + seconds(2));
    CHECK(latch.judge(kNat, kSsrc, kStart + seconds(5)) == Decision::kTaken);
    CHECK(latch.judge(kOther, 1, kStart + seconds(20)) == Decision::kForeign);
    CHECK(latch.destination() == kNat);
}

TEST("a phone that is silent while it rings has its learning window with its first packet") {
    Latch latch = announced();
    const Time answer = kStart + seconds(30);
    CHECK(latch.judge(kOther, 1, answer) == Decision::kLearned);
    CHECK(latch.judge(kNat, kSsrc, answer + seconds(2)) == Decision::kLearned);
    CHECK(latch.judge(kOther, 1, answer + seconds(4)) == Decision::kForeign);
}

TEST("a NAT's new port is learned after five seconds of silence if the SSRC goes on") {
    Latch latch = announced();
    latch.judge(kNat, kSsrc, kStart);
    const Time last = kStart + seconds(10);
    latch.judge(kNat, kSsrc, last);
    CHECK(latch.judge(kOther, kSsrc, last + milliseconds(4999)) == Decision::kForeign);
    CHECK(latch.judge(kOther, kSsrc + 1, last + seconds(6)) == Decision::kForeign);
    CHECK(latch.judge(kOther, kSsrc, last + seconds(6)) == Decision::kLearned);
    CHECK(latch.destination() == kOther);
}

TEST("a session refresh with the same address keeps what was learned") {
    Latch latch = announced();
    latch.judge(kNat, kSsrc, kStart);
    latch.announce(kAnnounced, Latching::kSymmetric, kStart + seconds(60));
    CHECK(latch.destination() == kNat);
    CHECK(latch.judge(kNat, kSsrc, kStart + seconds(60)) == Decision::kTaken);
}

TEST("a re-offer with a new address is followed at once, and stragglers don't win") {
    Latch latch = announced();
    latch.judge(kNat, kSsrc, kStart);
    const Time moved = kStart + seconds(60);
    latch.announce(kOther, Latching::kSymmetric, moved);
    CHECK(latch.destination() == kOther);
    CHECK(latch.judge(kNat, kSsrc, moved + milliseconds(5)) == Decision::kLearned);
    CHECK(latch.judge(kOther, kSsrc, moved + milliseconds(10)) == Decision::kLearned);
    CHECK(latch.judge(kNat, kSsrc, moved + milliseconds(15)) == Decision::kForeign);
}

TEST("strict takes nothing but the announced address and forgets what was learned") {
    Latch latch;
    CHECK(latch.judge(kOther, kSsrc, kStart) == Decision::kLearned);
    latch.announce(kAnnounced, Latching::kStrict, kStart);
    CHECK(latch.destination() == kAnnounced);
    CHECK(latch.judge(kOther, kSsrc, kStart) == Decision::kForeign);
    CHECK(latch.judge(at("192.0.2.1", 4002), kSsrc, kStart) == Decision::kForeign);
    CHECK(latch.judge(kAnnounced, kSsrc, kStart) == Decision::kLearned);
    CHECK(latch.judge(kOther, kSsrc, kStart + seconds(60)) == Decision::kForeign);
}

TEST("asymmetric filters by the learned source and still sends where SDP said") {
    Latch latch = announced(Latching::kAsymmetric);
    CHECK(latch.judge(kNat, kSsrc, kStart) == Decision::kLearned);
    CHECK(latch.destination() == kAnnounced);
    CHECK(latch.judge(kOther, kSsrc, kStart + seconds(4)) == Decision::kForeign);
}

TEST("0.0.0.0, :: and port 0 are nowhere to send to") {
    CHECK(!at("0.0.0.0", 4000).is_sendable());
    CHECK(!at("::", 4000).is_sendable());
    CHECK(!at("192.0.2.1", 0).is_sendable());
    CHECK(!Latch().destination().is_sendable());
    CHECK(at("::1", 4000).is_sendable());
}

}  // namespace engine::test
