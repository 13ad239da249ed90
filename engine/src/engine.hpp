#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "clock.hpp"
#include "event.hpp"
#include "flusher.hpp"
#include "relay.hpp"
#include "spool_writer.hpp"
#include "wakeup.hpp"
#include "worker.hpp"

namespace engine {

// A session at one moment, copied out of its worker.
struct Snapshot {
    Session session;
    Time opened;
    Time taken;
    std::uint64_t tap_overflow;
};

struct Totals {
    std::uint64_t sessions = 0;
    std::uint64_t recordings = 0;
    std::uint64_t packets = 0;
    std::uint64_t octets = 0;
    std::uint64_t dropped = 0;
    std::uint64_t tap_overflow = 0;
    std::uint64_t tap_fill_permille = 0;  // of the fullest ring
    std::uint64_t events_lost = 0;
    std::uint64_t flush_errors = 0;
};

// Owner of everything: workers, spool writer, flusher. Knows which session is on which worker, and which recording
// belongs to which session.
//
// Any thread may call anything. One lock keeps control calls apart; it is never held while a file is created, and
// packets never meet it. Unknown ids throw std::out_of_range, ids in use std::invalid_argument, the system's refusals
// std::system_error, and everything but poll() throws std::runtime_error once closed.
//
// Limits: a session has one recording at a time. A new session goes to the worker with the fewest.
class Engine {
  public:
    static constexpr std::size_t kMaxWorkers = 64;

    Engine(std::size_t workers, std::size_t tap_ring_bytes);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    int events_fd() const noexcept { return events_wakeup_.fd(); }
    std::vector<Event> poll();
    void close();

    // RTP ports of both legs; RTCP is one above each.
    void open_session(SessionId id, const Address& a, const Address& b, std::uint8_t dscp);
    Snapshot close_session(SessionId id);
    void set_remote(SessionId id, Leg leg, const Remote& remote, const ClockRates& clock_rates);
    Snapshot snapshot(SessionId id);
    std::vector<SessionId> silent_sessions(std::chrono::nanoseconds duration);
    Totals totals();

    void start_recording(SessionId id, TapId tap, const std::string& path, Bytes meta, Leg caller);
    void pause_recording(TapId tap, std::vector<std::uint8_t> event);
    void resume_recording(TapId tap, std::vector<std::uint8_t> event);
    void write_event(TapId tap, Side side, std::vector<std::uint8_t> event);
    std::uint64_t detach_recording(TapId tap);
    void finish_recording(TapId tap, std::vector<std::uint8_t> end);

  private:
    struct SessionEntry {
        Worker* worker;
        TapId tap = TapId::kNone;
    };
    struct RecordingEntry {
        SessionId session;
        Worker* worker;
        bool is_attached = false;
        std::uint64_t overflow = 0;
    };
    using Lock = std::lock_guard<std::mutex>;

    void take_events(std::vector<Event>& into);
    void check_open() const;
    Worker& quietest_worker() noexcept;
    SessionEntry& session_entry(SessionId id);
    RecordingEntry& recording_entry(TapId tap);
    void reserve(SessionId id, TapId tap);
    void release(TapId tap);
    void create_and_attach(TapId tap, const std::string& path, Bytes meta, Leg caller);
    void attach(TapId tap, SpoolWriter::Begin recording, Leg caller);
    void detach(RecordingEntry& entry);
    void post(TapId tap, Worker& worker, decltype(SpoolWriter::Order::what) what);

    const Clock clock_;
    Wakeup events_wakeup_;
    EventRing writer_events_{events_wakeup_};
    std::mutex polling_;           // one consumer of event rings at a time
    std::vector<Event> unpolled_;  // what the rings held when they were closed
    std::mutex mutex_;
    bool is_closed_ = false;
    std::unordered_map<SessionId, SessionEntry> sessions_;
    std::unordered_map<TapId, RecordingEntry> recordings_;

    // In the order in which they need each other; destroyed from the last to the first.
    std::unique_ptr<Flusher> flusher_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::unique_ptr<SpoolWriter> writer_;
};

}  // namespace engine
