#include "chunk_index.hpp"

#include "little_endian.hpp"
#include "test.hpp"

namespace engine::test {

namespace {

// Of chunks that have a checkpoint behind every fifth, and 6.5 KiB each.
std::vector<std::uint8_t> entry(std::uint32_t chunk) {
    std::vector<std::uint8_t> octets;
    append_little_endian(octets, chunk + chunk / 5);
    append_little_endian(octets, chunk * 400);
    append_little_endian(octets, std::uint64_t{1000} + std::uint64_t{chunk} * 6656);
    return octets;
}

ChunkIndex index_of_chunks(std::uint32_t count) {
    ChunkIndex index;
    for (std::uint32_t chunk = 0; chunk < count; ++chunk) {
        index.add(chunk + chunk / 5, chunk * 400, std::uint64_t{1000} + std::uint64_t{chunk} * 6656);
    }
    return index;
}

std::vector<std::uint8_t> every(std::uint32_t step, std::uint32_t count) {
    std::vector<std::uint8_t> octets;
    for (std::uint32_t chunk = 0; chunk < count; chunk += step) {
        const auto one = entry(chunk);
        octets.insert(octets.end(), one.begin(), one.end());
    }
    return octets;
}

}  // namespace

TEST("an index has every chunk as long as they fit into one chunk, then every second, fourth and so on") {
    constexpr std::uint32_t kMax = ChunkIndex::kMaxEntries;
    CHECK(index_of_chunks(0).octets().empty());
    CHECK(index_of_chunks(kMax).octets() == every(1, kMax));
    CHECK(index_of_chunks(kMax + 1).octets() == every(2, kMax + 1));
    CHECK(index_of_chunks(2 * kMax).octets() == every(2, 2 * kMax));
    CHECK(index_of_chunks(2 * kMax + 1).octets() == every(4, 2 * kMax + 1));
    CHECK(index_of_chunks(5 * kMax).octets() == every(8, 5 * kMax));
}

TEST("an index never outgrows the largest body of a chunk") {
    CHECK(index_of_chunks(ChunkIndex::kMaxEntries).octets().size() == 1 << 20);
    CHECK(index_of_chunks(7 * ChunkIndex::kMaxEntries).octets().size() <= 1 << 20);
}

}  // namespace engine::test
