// What a recording file costs in octets. What is in it is tested from Python, by readers that know only the format.

#include "sasf_file.hpp"

#include <stdlib.h>

#include <filesystem>
#include <random>

#include "datagrams.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

struct Cost {
    std::uint64_t payload = 0;
    std::uint64_t file = 0;
};

// A G.711 call of both sides, 20 ms a packet, that arrive up to 5 ms late, as on a busy network.
Cost record_call(bool is_encrypted, int packets) {
    std::string pattern = std::filesystem::temp_directory_path() / "sasf-test-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) return {};
    const std::array<std::uint8_t, Secret::kSize> key{1, 2, 3};
    const std::string path = pattern + "/file";
    // As long as a real one with two recipients.
    const Opening opening{.head = std::vector<std::uint8_t>(700),
                          .keybox = std::vector<std::uint8_t>(1500),
                          .key = is_encrypted ? std::optional<Secret>(key) : std::nullopt,
                          .signing_key = Secret(key)};
    SasfFile file(path, opening, Bytes{}, kStart);
    std::mt19937 random(1);
    std::uniform_int_distribution<int> late_us(0, 5000);
    const Datagram audio(160, 0xFF);
    Cost cost;
    for (int i = 0; i < packets; ++i) {
        for (const Side side : {Side::kCaller, Side::kCalled}) {
            const RtpHeader header{.timestamp = static_cast<std::uint32_t>(160 * i),
                                   .ssrc = 1,
                                   .sequence = static_cast<std::uint16_t>(i),
                                   .payload_type = 0,
                                   .marker = false,
                                   .size = 12};
            file.add_packet(side, header, audio, kStart + milliseconds(20) * i + microseconds(late_us(random)));
            cost.payload += audio.size();
        }
        file.close_due(kStart + milliseconds(20) * i + microseconds(5000));
    }
    file.finish(kStart + milliseconds(20) * packets, "\"stopped\"");
    cost.file = std::filesystem::file_size(path);
    CHECK(file.error() == 0 && file.octets() == cost.file);
    std::filesystem::remove_all(pattern);
    return cost;
}

}  // namespace

TEST("a file of G.711 grows by at most its payload and 3 percent, signed or encrypted") {
    for (const bool is_encrypted : {false, true}) {
        const Cost cost = record_call(is_encrypted, 30'000);  // ten minutes
        CHECK(cost.payload == 2 * 30'000 * 160);
        CHECK(cost.file * 100 <= cost.payload * 103);
    }
}

}  // namespace engine::test
