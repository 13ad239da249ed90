#include "tap_ring.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace engine {

namespace {

// From here on in pages of 2 MiB: else its producer waits for the system with every twentieth packet of the first lap.
// Smaller rings are many, and shall not take more than they need.
constexpr std::size_t kHugeBytes = 16 << 20;

}  // namespace

TapRing::TapRing(std::size_t bytes) : bytes_(bytes), mask_(bytes - 1) {
    if (bytes < kMinBytes || !std::has_single_bit(bytes)) {
        throw std::invalid_argument("the tap ring's size is not a power of two of at least 65536 octets");
    }
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "memory of the tap ring");
    if (bytes >= kHugeBytes) madvise(memory, bytes, MADV_HUGEPAGE);  // a refusal costs speed only
    memory_ = static_cast<std::uint8_t*>(memory);
}

TapRing::~TapRing() { munmap(memory_, bytes_); }

bool TapRing::put(const TappedPacket& packet) noexcept {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    const std::size_t needed = record_bytes(packet.datagram.size());
    const std::uint64_t to_end = bytes_ - (head & mask_);
    const std::uint64_t padding = needed > to_end ? to_end : 0;
    if (head + padding + needed - known_tail_ > bytes_) {
        known_tail_ = tail_.load(std::memory_order_acquire);
        if (head + padding + needed - known_tail_ > bytes_) return false;
    }
    if (padding != 0) {
        std::memcpy(at(head), &kPadding, sizeof kPadding);
        head += padding;
    }
    const Record record{.size = static_cast<std::uint32_t>(packet.datagram.size()),
                        .side = packet.side,
                        .kind = packet.kind,
                        .tap = packet.tap,
                        .arrival = packet.arrival};
    std::memcpy(at(head), &record, sizeof record);
    std::copy(packet.datagram.begin(), packet.datagram.end(), at(head) + sizeof record);
    head_.store(head + needed, std::memory_order_release);
    return true;
}

unsigned TapRing::fill_permille() const noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_acquire);  // before head, which is never behind it
    return static_cast<unsigned>((head() - tail) * 1000 / bytes_);
}

std::optional<TappedPacket> TapRing::oldest() const noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head()) return std::nullopt;
    return packet_at(skip_to_record(tail));
}

std::uint32_t TapRing::size_at(std::uint64_t position) const noexcept {
    std::uint32_t size;
    std::memcpy(&size, at(position), sizeof size);
    return size;
}

std::uint64_t TapRing::skip_to_record(std::uint64_t position) const noexcept {
    return size_at(position) == kPadding ? position + bytes_ - (position & mask_) : position;
}

TappedPacket TapRing::packet_at(std::uint64_t position) const noexcept {
    Record record;
    std::memcpy(&record, at(position), sizeof record);
    return {.tap = record.tap,
            .side = record.side,
            .kind = record.kind,
            .arrival = record.arrival,
            .datagram = {at(position) + sizeof record, record.size}};
}

}  // namespace engine
