#include "digit_reader.hpp"

#include <string>

#include "datagrams.hpp"
#include "session.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using std::chrono::milliseconds;

constexpr std::uint8_t kPayloadType = 101;

// A phone's keys: packets go straight into the reader, every 20 ms, and what it tells is kept.
class Keys {
  public:
    void event(std::uint32_t timestamp, std::uint8_t code, std::uint16_t duration, bool is_end = false,
               std::uint32_t ssrc = 7) {
        const Datagram datagram = telephone_event({.timestamp = timestamp, .ssrc = ssrc, .payload_type = kPayloadType},
                                                  code, duration, is_end);
        const auto header = read_rtp(datagram);
        note(reader_.receive(*header, Bytes(datagram).subspan(header->size), now_));
        wait(milliseconds(20));
    }
    // As RFC 4733 has it: the end three times.
    void press(std::uint32_t timestamp, std::uint8_t code) {
        for (std::uint16_t i = 1; i <= 3; ++i) event(timestamp, code, static_cast<std::uint16_t>(160 * i));
        for (int i = 0; i < 3; ++i) event(timestamp, code, 640, true);
    }
    void voice() {
        note(reader_.pass(now_));
        wait(milliseconds(20));
    }
    void wait(milliseconds time) { now_ += time; }
    const std::string& told() const { return told_; }

  private:
    void note(char digit) {
        if (digit != DigitReader::kNone) told_ += digit;
    }

    DigitReader reader_;
    Time now_ = kStart;
    std::string told_;
};

}  // namespace

TEST("each digit is told once, although its end is sent three times") {
    Keys keys;
    for (std::uint8_t code = 0; code < 16; ++code) keys.press(1000U * code, code);
    CHECK(keys.told() == "0123456789*#ABCD");
}

TEST("the same key twice is two digits") {
    Keys keys;
    keys.press(1000, 5);
    keys.press(5000, 5);
    CHECK(keys.told() == "55");
}

TEST("a digit is told with the first packet of its end, not before") {
    Keys keys;
    keys.event(1000, 1, 160);
    CHECK(keys.told().empty());
    keys.event(1000, 1, 320, true);
    CHECK(keys.told() == "1");
}

TEST("a digit whose end is lost is told when the next begins, or when other packets go on without it") {
    Keys keys;
    keys.event(1000, 1, 160);
    keys.event(5000, 2, 160);
    CHECK(keys.told() == "1");
    for (int i = 0; i < 7; ++i) keys.voice();
    CHECK(keys.told() == "1");
    for (int i = 0; i < 3; ++i) keys.voice();
    CHECK(keys.told() == "12");
}

TEST("packets that come late tell nothing again") {
    Keys keys;
    keys.press(1000, 1);
    keys.event(5000, 2, 160);
    keys.event(1000, 1, 640, true);
    keys.event(5000, 2, 640, true);
    keys.event(1000, 1, 640, true);
    CHECK(keys.told() == "12");
}

TEST("a phone that counts time anew is heard, and so is one with a new SSRC") {
    Keys keys;
    keys.press(0x80000000, 1);
    keys.wait(milliseconds(1000));
    keys.press(1000, 2);
    keys.event(900, 3, 640, true, 8);
    CHECK(keys.told() == "123");
}

TEST("a key held beyond the longest duration is one digit") {
    Keys keys;
    keys.event(1000, 3, 0xFFFF);
    keys.event(1000 + 0xFFFF, 3, 800);
    keys.event(1000 + 0xFFFF, 3, 1600, true);
    CHECK(keys.told() == "3");
}

TEST("what is no digit is not told, and a flood of events is not passed on") {
    Keys keys;
    keys.press(1000, 16);
    CHECK(keys.told().empty());
    DigitReader reader;
    int told = 0;
    for (std::uint32_t i = 1; i <= 1000; ++i) {
        const Datagram datagram = telephone_event({.timestamp = 1000 * i}, 1, 640, true);
        const auto header = read_rtp(datagram);
        told += reader.receive(*header, Bytes(datagram).subspan(header->size), kStart + milliseconds(i)) != 0 ? 1 : 0;
    }
    CHECK(told <= 1000 / 30 + 1);
}

TEST("an event without its four octets is none") {
    DigitReader reader;
    Datagram datagram = telephone_event({}, 1, 640, true);
    datagram.pop_back();
    const auto header = read_rtp(datagram);
    CHECK(reader.receive(*header, Bytes(datagram).subspan(header->size), kStart) == DigitReader::kNone);
}

TEST("a session reads digits in the payload types that SDP gives, of the phone's own packets alone") {
    Session session;
    const Address phone = at("192.0.2.1", 4000);
    session.set_remote(Leg::kA, {.rtp = phone, .rtcp = {}}, {}, kStart);
    const Datagram star = telephone_event({.timestamp = 1000, .payload_type = kPayloadType}, 10, 640, true);
    const PortId port{Leg::kA, Component::kRtp};
    CHECK(session.receive(port, phone, star, kStart).digit == 0);
    PayloadKinds kinds;
    kinds.add_telephone_event(kPayloadType);
    session.set_payload_kinds(Leg::kA, kinds);
    CHECK(session.receive(port, at("203.0.113.9", 9), star, kStart).digit == 0);
    CHECK(session.receive(port, phone, star, kStart).digit == '*');
}

TEST("a leg that announced comfort noise is quiet until it speaks again") {
    Session session;
    const Address phone = at("192.0.2.1", 4000);
    session.set_remote(Leg::kA, {.rtp = phone, .rtcp = {}}, {}, kStart);
    const PortId port{Leg::kA, Component::kRtp};
    session.receive(port, phone, rtp({.payload_type = 13}, 1), kStart);
    CHECK(session.leg(Leg::kA).is_quiet);
    session.receive(port, phone, rtp({.sequence = 1}), kStart);
    CHECK(!session.leg(Leg::kA).is_quiet);
}

}  // namespace engine::test
