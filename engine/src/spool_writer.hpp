#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "event_ring.hpp"
#include "flusher.hpp"
#include "spool_file.hpp"
#include "tap_ring.hpp"

namespace engine {

// The consumer of all taps: one thread that empties the rings into spool files. It is the only thread that a slow or
// dead disk can stop; the rings then fill and the producers count what does not fit.
//
// Orders name a position in a ring, and are carried out behind the packets before it and ahead of those after it. So a
// note in the file stands exactly where it belongs, and END behind the last packet.
//
// Limits: kDrainInterval is what kill -9 costs, on top of one drain. At most kMaxPending octets wait in memory for one
// round of writes. An error of the disk ends the recording that met it and no other.
class SpoolWriter {
  public:
    static constexpr std::chrono::milliseconds kDrainInterval{50};
    static constexpr std::size_t kMaxPending = 4 << 20;  // a second of 1800 two-way G.711 calls

    struct Begin {
        SpoolFile file;
        Flusher::Watch watch;
    };
    struct Note {
        Side side;
        std::vector<std::uint8_t> json;
    };
    struct Finish {
        std::vector<std::uint8_t> json;
        std::uint64_t overflow;
    };
    struct Order {
        TapId tap;
        TapRing* ring;
        std::uint64_t position;
        Time time;
        std::variant<Begin, Note, Finish> what;
    };

    SpoolWriter(std::vector<TapRing*> rings, EventRing& events);
    ~SpoolWriter();  // empties the rings; recordings that were not finished stay without END
    SpoolWriter(const SpoolWriter&) = delete;
    SpoolWriter& operator=(const SpoolWriter&) = delete;

    void post(Order order);
    std::uint64_t recordings() const noexcept { return count_.load(std::memory_order_relaxed); }

  private:
    void run();
    void carry_out(Order& order);
    void begin(TapId tap, Begin& recording);
    void finish(TapId tap, SpoolFile& file, const Finish& order);
    void drain(TapRing& ring, std::uint64_t end);
    void take(const TappedPacket& packet);
    void write_out();
    void write_out(TapId tap, SpoolFile& file);
    void tell(const Event& event);
    void tell_waiting();

    std::vector<TapRing*> rings_;
    EventRing& events_;

    std::mutex mutex_;
    std::condition_variable posted_;
    std::vector<Order> orders_;
    bool is_stopping_ = false;

    // The thread's own.
    std::unordered_map<TapId, Begin> recordings_;
    std::vector<TapId> dirty_;
    std::size_t pending_ = 0;
    std::deque<Event> waiting_events_;  // the ring was full; none of these may be lost
    std::atomic<std::uint64_t> count_{0};
    std::thread thread_;
};

}  // namespace engine
