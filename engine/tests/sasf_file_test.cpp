// What a recording file costs in octets, and how often it is signed. What is in it is tested from Python, by readers
// that know only the format.

#include "sasf_file.hpp"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <utility>

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

constexpr std::size_t kHead = 700;  // as long as that of a real file, and its keybox for two recipients
constexpr std::size_t kKeybox = 1500;

// A file in a folder of its own.
struct Disk {
    Disk() : folder(std::filesystem::temp_directory_path() / "sasf-test-XXXXXX") {
        CHECK(mkdtemp(folder.data()) != nullptr);
        path = folder + "/file";
    }
    ~Disk() { std::filesystem::remove_all(folder); }
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;

    std::string folder;
    std::string path;
};

SasfFile open_file(const std::string& path, bool is_encrypted) {
    const std::array<std::uint8_t, Secret::kSize> key{1, 2, 3};
    const Opening opening{.head = std::vector<std::uint8_t>(kHead),
                          .keybox = std::vector<std::uint8_t>(kKeybox),
                          .key = is_encrypted ? std::optional<Secret>(key) : std::nullopt,
                          .signing_key = Secret(key)};
    return {path, opening, Bytes{}, kStart};
}

// Packet number `i` of both sides, 20 ms apart, that arrive so much late.
void speak(SasfFile& file, int i, std::array<microseconds, 2> late) {
    const Datagram audio(160, 0xFF);
    for (const Side side : {Side::kCaller, Side::kCalled}) {
        const RtpHeader header{.timestamp = static_cast<std::uint32_t>(160 * i),
                               .ssrc = 1,
                               .sequence = static_cast<std::uint16_t>(i),
                               .payload_type = 0,
                               .marker = false,
                               .size = 12};
        file.add_packet(side, header, audio, kStart + milliseconds(20) * i + late[index_of(side)]);
    }
}

// A G.711 call of both sides, whose packets arrive up to 5 ms late, as on a busy network.
Cost record_call(bool is_encrypted, int packets) {
    const Disk disk;
    SasfFile file = open_file(disk.path, is_encrypted);
    std::mt19937 random(1);
    std::uniform_int_distribution<int> late_us(0, 5000);
    for (int i = 0; i < packets; ++i) {
        speak(file, i, {microseconds(late_us(random)), microseconds(late_us(random))});
        file.close_due(kStart + milliseconds(20) * i + microseconds(5000), {});
    }
    file.finish(kStart + milliseconds(20) * packets, "\"stopped\"");
    const std::uint64_t size = std::filesystem::file_size(disk.path);
    CHECK(file.error() == 0 && file.octets() == size);
    return {.payload = std::uint64_t{320} * static_cast<std::uint64_t>(packets), .file = size};
}

struct Chunk {
    int type;
    std::uint32_t time_ms;
};

std::vector<Chunk> chunks_in(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> octets{std::istreambuf_iterator<char>(file), {}};
    const auto number_at = [&](std::size_t at) {
        std::uint32_t number = 0;
        for (std::size_t i = 4; i-- > 0;) number = number << 8 | static_cast<std::uint8_t>(octets[at + i]);
        return number;
    };
    std::vector<Chunk> chunks;
    for (std::size_t at = kHead + kKeybox; at + 32 <= octets.size(); at += 32 + number_at(at + 4)) {
        chunks.push_back({.type = octets[at + 2], .time_ms = number_at(at + 12)});
    }
    return chunks;
}

}  // namespace

TEST("a file of G.711 grows by at most its payload and 3 percent, signed or encrypted") {
    for (const bool is_encrypted : {false, true}) {
        const Cost cost = record_call(is_encrypted, 30'000);  // ten minutes
        CHECK(cost.file > cost.payload && cost.file * 100 <= cost.payload * 103);
    }
}

TEST("in clear, nothing stays unsigned for more than 5 s, neither while there is talk nor when all fall silent") {
    constexpr int kCheckpoint = 2;
    const Disk disk;
    SasfFile file = open_file(disk.path, false);
    int i = 0;
    for (; i < 1'000; ++i) {  // 20 s
        speak(file, i, {});
        file.close_due(kStart + milliseconds(20) * i, {});
    }
    for (int ms = 0; ms <= 5'000; ms += 50) file.close_due(kStart + milliseconds(20 * i + ms), {});
    const auto chunks = chunks_in(disk.path);
    CHECK(chunks.back().type == kCheckpoint);
    std::size_t checkpoints = 0;
    std::uint32_t unsigned_since = 0;
    bool is_signed = true;
    for (const Chunk& chunk : chunks) {
        if (chunk.type == kCheckpoint) {
            CHECK(!is_signed && chunk.time_ms <= unsigned_since + 5'050);
            is_signed = true;
            ++checkpoints;
        } else if (std::exchange(is_signed, false)) {
            unsigned_since = chunk.time_ms;
        }
    }
    CHECK(checkpoints == 5);
}

}  // namespace engine::test
