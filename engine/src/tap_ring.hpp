#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "flow.hpp"

namespace engine {

// Takes copies of packets from one thread that must never wait to one thread that may: a ring of octets without locks,
// for a single producer and a single consumer.
//
//    record:  u32 size of the datagram | u8 side | u8 kind | pad | u32 tap | pad | i64 arrival | datagram, padded to 8
//
// Positions count octets since the ring was made and never wrap within the life of an engine (2^64); so a position
// names a moment: what was put before it and what after.
//
// A packet that finds the ring empty goes to its beginning again: so as long as the consumer keeps up, the memory in
// use is what comes between two drains, and stays in the processor's cache, however large the ring.
//
// Limits: the size is a power of two and at least kMinBytes. A packet that finds no room is refused, for the caller to
// count. Memory is taken from the system page by page as the ring first fills, so what was never needed costs nothing.
class TapRing {
  public:
    static constexpr std::size_t kMinBytes = 1 << 16;  // thirty times the largest datagram that workers read

    explicit TapRing(std::size_t bytes);
    ~TapRing();
    TapRing(const TapRing&) = delete;
    TapRing& operator=(const TapRing&) = delete;

    // Producer.
    bool put(const TappedPacket& packet) noexcept;

    // Consumer: shows packets up to `end`, oldest first, until `octets` of the ring are used up. Returns whether `end`
    // was reached. Packets can be looked at until `settle` returns, which is called behind the last one.
    template <class Take, class Settle = void (*)()>
    bool drain(
        std::uint64_t end, std::size_t octets, Take&& take, Settle&& settle = [] {}) {
        std::uint64_t at = tail_.load(std::memory_order_relaxed);
        if (at < end) at = behind_leap(at);
        const std::uint64_t limit = at + octets;
        while (at < end && at < limit) {
            at = skip_to_record(at);
            if (at >= end) break;
            const std::size_t octets_of_this = record_bytes(size_at(at));
            __builtin_prefetch(this->at(at + kAhead * octets_of_this));
            take(packet_at(at));
            at += octets_of_this;
        }
        settle();
        tail_.store(at, std::memory_order_release);
        return at >= end;
    }

    // Consumer: the oldest packet, if there is one.
    std::optional<TappedPacket> oldest() const noexcept;

    // Any thread: behind the newest packet.
    std::uint64_t head() const noexcept { return head_.load(std::memory_order_acquire); }
    unsigned fill_permille() const noexcept;
    std::size_t size() const noexcept { return bytes_; }

  private:
    struct Record {
        std::uint32_t size;  // kPadding: the rest of the ring up to its end is unused
        Side side;
        PacketKind kind;
        TapId tap;
        Time arrival;
    };
    static constexpr std::uint32_t kPadding = std::numeric_limits<std::uint32_t>::max();
    static constexpr std::uint64_t kAhead = 4;  // records, for the consumer not to wait for the memory of each
    static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

    static std::size_t record_bytes(std::size_t datagram) noexcept { return (sizeof(Record) + datagram + 7) & ~7ULL; }
    std::uint8_t* at(std::uint64_t position) const noexcept { return memory_ + (position & mask_); }
    std::uint64_t next_lap(std::uint64_t position) const noexcept { return (position | mask_) + 1; }
    std::uint64_t behind_leap(std::uint64_t position) const noexcept;
    std::uint64_t leap_if_empty(std::uint64_t head) noexcept;
    void expect_record(std::uint64_t position, std::size_t octets) const noexcept;
    std::uint32_t size_at(std::uint64_t position) const noexcept;
    std::uint64_t skip_to_record(std::uint64_t position) const noexcept;
    TappedPacket packet_at(std::uint64_t position) const noexcept;

    std::size_t bytes_;
    std::uint64_t mask_;
    std::uint8_t* memory_;
    // Apart by a cache line, because each is written by the other thread than the one that waits for it.
    alignas(64) std::atomic<std::uint64_t> head_{0};
    alignas(64) std::atomic<std::uint64_t> tail_{0};
    alignas(64) std::atomic<std::uint64_t> leap_{kNever};  // where the producer last went to the next lap, being empty
    std::uint64_t known_tail_ = 0;                         // the producer's last look at tail_
};

}  // namespace engine
