#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace engine {

// The body of a file's INDEX chunk (docs/sasf.md section 3), as it grows: where each RECORDS chunk is.
//
// Limit: kMaxEntries, which fill a chunk. Beyond (seven hours) every second entry goes, and from then on every second
// chunk is entered, then every fourth, and so on; so what an endless recording needs of memory has an end.
class ChunkIndex {
  public:
    static constexpr std::size_t kMaxEntries = 65536;

    void add(std::uint32_t number, std::uint32_t time_ms, std::uint64_t offset);
    const std::vector<std::uint8_t>& octets() const noexcept { return octets_; }

  private:
    static constexpr std::size_t kEntrySize = 16;

    void thin();

    std::vector<std::uint8_t> octets_;
    std::uint64_t every_ = 1;  // so many chunks have one entry
    std::uint64_t seen_ = 0;   // chunks
};

}  // namespace engine
