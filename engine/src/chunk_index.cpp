#include "chunk_index.hpp"

#include <algorithm>

#include "little_endian.hpp"

namespace engine {

void ChunkIndex::add(std::uint32_t number, std::uint32_t time_ms, std::uint64_t offset) {
    if (seen_++ % every_ != 0) return;
    if (octets_.size() == kMaxEntries * kEntrySize) thin();  // kMaxEntries is even: this chunk has its place still
    append_little_endian(octets_, number);
    append_little_endian(octets_, time_ms);
    append_little_endian(octets_, offset);
}

void ChunkIndex::thin() {
    const std::size_t kept = octets_.size() / kEntrySize / 2;
    for (std::size_t entry = 1; entry < kept; ++entry) {
        std::copy_n(&octets_[2 * entry * kEntrySize], kEntrySize, &octets_[entry * kEntrySize]);
    }
    octets_.resize(kept * kEntrySize);
    every_ *= 2;
}

}  // namespace engine
