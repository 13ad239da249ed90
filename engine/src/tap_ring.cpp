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
    std::uint64_t head = leap_if_empty(head_.load(std::memory_order_relaxed));
    const std::size_t needed = record_bytes(packet.datagram.size());
    const std::uint64_t to_end = bytes_ - (head & mask_);
    const std::uint64_t padding = needed > to_end ? to_end : 0;
    if (head + padding + needed - known_tail_ > bytes_) {
        known_tail_ = behind_leap(tail_.load(std::memory_order_acquire));
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
    expect_record(head + needed, needed);
    return true;
}

// The consumer has nothing to look at before the next lap, and learns from leap_ that it goes on there. It reads that
// behind the head that is stored after it.
std::uint64_t TapRing::leap_if_empty(std::uint64_t head) noexcept {
    if ((head & mask_) == 0 || tail_.load(std::memory_order_acquire) != head) return head;
    leap_.store(head, std::memory_order_relaxed);
    known_tail_ = next_lap(head);
    return known_tail_;
}

std::uint64_t TapRing::behind_leap(std::uint64_t position) const noexcept {
    return position == leap_.load(std::memory_order_relaxed) ? next_lap(position) : position;
}

// Has the memory of the next record fetched while its packet is still on its way. A ring is larger than any cache, and
// its producer would else wait for the memory with every packet.
void TapRing::expect_record(std::uint64_t position, std::size_t octets) const noexcept {
    constexpr std::size_t kCacheLine = 64;
    constexpr int kToWrite = 1;
    for (std::size_t i = 0; i <= octets; i += kCacheLine) __builtin_prefetch(at(position + i), kToWrite);
}

unsigned TapRing::fill_permille() const noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_acquire);  // before head, which is never behind it
    const std::uint64_t head = this->head();
    const std::uint64_t begin = behind_leap(tail);
    return begin > head ? 0 : static_cast<unsigned>((head - begin) * 1000 / bytes_);
}

std::optional<TappedPacket> TapRing::oldest() const noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head()) return std::nullopt;
    return packet_at(skip_to_record(behind_leap(tail)));
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
