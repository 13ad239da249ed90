#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "event_ring.hpp"
#include "flusher.hpp"
#include "look_back.hpp"
#include "packets_by_tap.hpp"
#include "recorded_sides.hpp"
#include "sasf_file.hpp"
#include "tap_ring.hpp"

namespace engine {

enum class RecordingId : std::uint64_t {};  // the caller's number

// The consumer of all taps: one thread that empties the rings into recording files. It is the only thread that a slow
// or dead disk can stop; the rings then fill and the producers count what does not fit.
//
// Orders name a position in a ring, and are carried out behind the packets before it and ahead of those after it. So an
// event in the file stands exactly where it belongs, and END behind the last packet.
//
// In each turn all that came since the last one is taken, recording by recording, and closed as one chunk. That is as
// rarely as a chunk may span, because what is seldom touched is not in the processor's cache when it is.
//
// Limits: kTurn is what kill -9 costs, and what a ring must hold. A ring is emptied in steps of kDrainStep, so that its
// producer finds room again while much waits. An error of the disk ends the recording that met it and no other.
class SpoolWriter {
  public:
    static constexpr std::chrono::milliseconds kTurn{590};  // to begin 10 ms late does not cut chunks in two
    static_assert(kTurn < SasfFile::kMaxChunk);
    static constexpr std::size_t kDrainStep = 16 << 20;  // a turn of 1000 recorded calls

    static constexpr unsigned kPasses = 4;  // behind so many, each shorter, a ring is empty, and begins anew

    struct Begin {
        RecordingId recording;
        SasfFile file;
        Flusher::Watch watch;
        RecordedSides sides;
        std::unique_ptr<LookBack> look_back;
        Time since;            // what is older is left out of the look-back
        Time asked;            // when the recording was asked for
        bool is_called_first;  // the look-back has leg A for the caller, and it was called
    };
    struct Note {
        Side side;
        std::vector<std::uint8_t> json;
    };
    struct Pause {
        std::vector<std::uint8_t> json;
    };
    struct Resume {
        std::vector<std::uint8_t> json;
    };
    struct Rates {
        Side side;
        ClockRates rates;
    };
    struct Finish {
        std::string reason;  // JSON
        std::uint64_t overflow;
    };
    struct Order {
        TapId tap;
        TapRing* ring;
        std::uint64_t position;
        Time time;
        std::variant<Begin, Note, Pause, Resume, Rates, Finish> what;
    };

    SpoolWriter(std::vector<TapRing*> rings, EventRing& events, Flusher& flusher, const Clock& clock);
    ~SpoolWriter();  // empties the rings; recordings that were not finished stay without END
    SpoolWriter(const SpoolWriter&) = delete;
    SpoolWriter& operator=(const SpoolWriter&) = delete;

    void post(Order order);
    std::uint64_t recordings() const noexcept { return count_.load(std::memory_order_relaxed); }

  private:
    struct Recording {
        RecordingId id;
        SasfFile file;
        Flusher::Watch watch;
        RecordedSides sides;
        bool is_failure_told = false;
    };

    void run();
    void take_turn(bool is_last);
    void carry_out(Order& order);
    void begin(TapId tap, Begin& order);
    void take_look_back(Recording& recording, Begin& order);
    void finish(TapId tap, Recording& recording, Time time, const Finish& order);
    void drain(TapRing& ring, std::uint64_t end);
    static void take(Recording& recording, Side side, const TappedPacket& packet);
    void tell_failure(Recording& recording);
    void tell(const Event& event);
    void tell_waiting();

    std::vector<TapRing*> rings_;
    EventRing& events_;
    Flusher& flusher_;
    const Clock& clock_;

    std::mutex mutex_;
    std::condition_variable posted_;
    std::vector<Order> orders_;
    bool is_stopping_ = false;

    // The thread's own.
    std::vector<std::unique_ptr<Recording>> recordings_;  // by TapId
    PacketsByTap drained_;
    std::deque<Event> waiting_events_;  // the ring was full; none of these may be lost
    std::atomic<std::uint64_t> count_{0};
    std::thread thread_;
};

}  // namespace engine
