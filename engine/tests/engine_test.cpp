// The threads together, over loopback: what the thread sanitizer should see. What the engine promises to Python is
// tested in tests/engine/.

#include "engine.hpp"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kFirstPort = 21000;
const Address kPhone = at("127.0.0.1", 20990);

Address port_a(std::uint16_t call) { return at("127.0.0.1", static_cast<std::uint16_t>(kFirstPort + 4 * call)); }
Address port_b(std::uint16_t call) { return at("127.0.0.1", static_cast<std::uint16_t>(kFirstPort + 4 * call + 2)); }

void send(const UdpSocket& from, const Datagram& datagram, const Address& to) {
    sockaddr_storage native{};
    const socklen_t size = to.to_sockaddr(native);
    sendto(from.fd(), datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&native), size);
}

std::string temporary_folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "engine-test-XXXXXX";
    return mkdtemp(pattern.data()) == nullptr ? std::string() : pattern;
}

// A recording numbered one above its session. The head needs no meaning here, only room for a signature.
RecordingRequest request(std::uint16_t call, const std::string& path, bool is_encrypted) {
    const std::array<std::uint8_t, Secret::kSize> key{1, 2, 3};
    return {.session = SessionId{call},
            .recording = RecordingId{call + 1U},
            .path = path,
            .opening = {.head = std::vector<std::uint8_t>(200),
                        .keybox = {},
                        .key = is_encrypted ? std::optional<Secret>(key) : std::nullopt,
                        .signing_key = Secret(key)},
            .meta = {'{', '}'},
            .created = std::chrono::system_clock::now()};
}

// Waits, for five seconds at most, until all recordings are closed.
std::vector<Event> closed_recordings(Engine& engine, std::size_t count) {
    std::vector<Event> closed;
    for (int i = 0; i < 1000 && closed.size() < count; ++i) {
        for (const Event& event : engine.poll()) {
            if (event.kind == Event::Kind::kRecordingClosed) closed.push_back(event);
        }
        std::this_thread::sleep_for(milliseconds(5));
    }
    return closed;
}

}  // namespace

TEST("sessions are opened, recorded, paused, asked and closed while packets pass on two workers") {
    constexpr std::uint16_t kCalls = 8;
    constexpr std::uint16_t kPackets = 200;
    const std::string folder = temporary_folder();
    Engine engine(2, TapRing::kMinBytes * 16);
    const UdpSocket phone(kPhone, 0);
    for (std::uint16_t call = 0; call < kCalls; ++call) {
        engine.open_session(SessionId{call}, port_a(call), port_b(call), 46);
        engine.set_remote(SessionId{call}, Leg::kA, {.rtp = kPhone, .rtcp = kPhone}, {});
        engine.start_recording(request(call, folder + "/" + std::to_string(call), call % 2 == 0));
    }
    std::thread talk([&phone] {
        for (std::uint16_t i = 0; i < kPackets; ++i) {
            for (std::uint16_t call = 0; call < kCalls; ++call) send(phone, rtp({.sequence = i}), port_a(call));
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    for (int round = 0; round < 20; ++round) {
        engine.pause_recording(RecordingId{2}, {});
        engine.snapshot(SessionId{1});
        engine.set_look_back(SessionId{2}, milliseconds(1000 * (round % 2)));
        engine.resume_recording(RecordingId{2}, {});
        engine.totals();
        engine.silent_sessions(milliseconds(1));
    }
    talk.join();
    std::this_thread::sleep_for(milliseconds(20));
    for (std::uint16_t call = 0; call < kCalls; ++call) {
        CHECK(engine.snapshot(SessionId{call}).session.leg(Leg::kA).streams.sums().packets == kPackets);
        engine.finish_recording(RecordingId{call + 1U}, "\"stopped\"");
        engine.close_session(SessionId{call});
    }
    const auto closed = closed_recordings(engine, kCalls);
    CHECK(closed.size() == kCalls);
    for (const Event& event : closed) {
        CHECK(event.error == 0 && event.overflow == 0);
        CHECK(event.subject == 2 || event.sides[0].packets == kPackets);
    }
    engine.close();
    std::filesystem::remove_all(folder);
}

TEST("an engine can be closed while sessions, recordings and packets are in flight") {
    const std::string folder = temporary_folder();
    const UdpSocket phone(kPhone, 0);
    for (int round = 0; round < 5; ++round) {
        Engine engine(1, TapRing::kMinBytes);
        engine.open_session(SessionId{1}, port_a(0), port_b(0), 46);
        engine.start_recording(request(1, folder + "/" + std::to_string(round), round % 2 == 0));
        for (std::uint16_t i = 0; i < 50; ++i) send(phone, rtp({.sequence = i}), port_a(0));
        engine.close();
        engine.poll();
    }
    CHECK(std::filesystem::file_size(folder + "/0") > 16);
    std::filesystem::remove_all(folder);
}

}  // namespace engine::test
