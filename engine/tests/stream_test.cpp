#include "stream.hpp"

#include <cmath>
#include <initializer_list>

#include "datagrams.hpp"
#include "leg_streams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using std::chrono::milliseconds;

RtpHeader header(std::uint16_t sequence, std::uint32_t timestamp = 0, std::uint32_t ssrc = 1) {
    return {.timestamp = timestamp, .ssrc = ssrc, .sequence = sequence, .payload_type = 0, .marker = false, .size = 12};
}

Stream after(std::initializer_list<std::uint16_t> sequences) {
    Stream stream(header(*sequences.begin()), 8000);
    for (const std::uint16_t sequence : sequences) stream.receive(header(sequence), 172, 8000, kStart);
    return stream;
}

}  // namespace

TEST("a stream without faults has none") {
    const Stream stream = after({65533, 65534, 65535, 0, 1, 2});
    CHECK(stream.packets() == 6);
    CHECK(stream.octets() == 6 * 172);
    CHECK(stream.lost() == 0 && stream.duplicates() == 0 && stream.reordered() == 0 && stream.restarts() == 0);
}

TEST("packets that never come are lost, over the end of the sequence numbers too") {
    CHECK(after({10, 11, 14}).lost() == 2);
    CHECK(after({65534, 1}).lost() == 2);
}

TEST("a late packet is reordered and not lost") {
    const Stream stream = after({10, 12, 11, 13});
    CHECK(stream.lost() == 0);
    CHECK(stream.reordered() == 1);
}

TEST("a packet older than the first one counts from there") {
    const Stream stream = after({10, 8, 11});
    CHECK(stream.lost() == 1);
    CHECK(stream.reordered() == 1);
}

TEST("duplicates don't hide loss") {
    const Stream stream = after({10, 10, 11, 13, 13, 11});
    CHECK(stream.duplicates() == 3);
    CHECK(stream.lost() == 1);
    CHECK(stream.packets() == 6);
}

TEST("a jump counts as a restart once two packets in a row agree (RFC 3550 A.1)") {
    const Stream once = after({10, 11, 30000, 12});
    CHECK(once.restarts() == 0 && once.lost() == 0);
    const Stream twice = after({10, 12, 30000, 30001, 30003});
    CHECK(twice.restarts() == 1);
    CHECK(twice.lost() == 2);  // 11 and 30002; nobody knows about the jump
}

TEST("a steady stream has no jitter, at any clock rate") {
    for (const std::uint32_t rate : {8000U, 16000U, 48000U, 90000U}) {
        Stream stream(header(0), rate);
        for (std::uint16_t i = 0; i < 500; ++i) {
            stream.receive(header(i, 0xFFFFFF00U + i * (rate / 50)), 172, rate, kStart + milliseconds(20) * i);
        }
        CHECK(stream.jitter_ms() < 0.1);
    }
}

TEST("packets that alternate between 5 ms early and 5 ms late have 10 ms of jitter (RFC 3550 A.8)") {
    Stream stream(header(0), 8000);
    for (std::uint16_t i = 0; i < 1000; ++i) {
        const auto shift = milliseconds(i % 2 == 0 ? 5 : -5);
        stream.receive(header(i, i * 160U), 172, 8000, kStart + milliseconds(20) * i + shift);
    }
    CHECK(std::abs(stream.jitter_ms() - 10.0) < 0.5);
}

TEST("updates of one telephone-event share a timestamp and are no jitter") {
    Stream stream(header(0), 8000);
    for (std::uint16_t i = 0; i < 100; ++i) {
        const bool is_key_down = i >= 50 && i < 60;
        const std::uint32_t timestamp = (is_key_down ? 50U : i) * 160U;
        stream.receive(header(i, timestamp), 172, 8000, kStart + milliseconds(20) * i);
    }
    CHECK(stream.jitter_ms() < 0.1);
}

TEST("a leg keeps the streams of eight SSRCs apart and the sums of all") {
    LegStreams streams;
    for (std::uint32_t ssrc = 1; ssrc <= 20; ++ssrc) {
        const Time now = kStart + milliseconds(ssrc);
        streams.receive(header(100, 0, ssrc), 172, 8000, now);
        streams.receive(header(102, 0, ssrc), 172, 8000, now);
    }
    CHECK(streams.streams().size() == LegStreams::kMaxStreams);
    CHECK(streams.ssrc_changes() == 19);
    CHECK(streams.current()->ssrc() == 20);
    CHECK(streams.sums().packets == 40);
    CHECK(streams.sums().lost == 20);
    for (const Stream& stream : streams.streams()) CHECK(stream.ssrc() > 12);
}

TEST("a leg that goes back to an earlier SSRC goes on with its stream") {
    LegStreams streams;
    streams.receive(header(1, 0, 1), 172, 8000, kStart);
    streams.receive(header(500, 0, 2), 172, 8000, kStart);
    streams.receive(header(2, 0, 1), 172, 8000, kStart);
    CHECK(streams.streams().size() == 2);
    CHECK(streams.ssrc_changes() == 2);
    CHECK(streams.sums().lost == 0);
}

}  // namespace engine::test
