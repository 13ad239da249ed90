#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
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

// What a recording begins with. `created`: its time 0, as the header has it, by the wall clock; what the session heard
// since, but at most about `pre_record` before now, comes into the file if the look-back has it.
struct RecordingRequest {
    SessionId session;
    RecordingId recording;
    std::string path;
    Opening opening;
    std::vector<std::uint8_t> meta;
    std::chrono::sys_time<std::chrono::nanoseconds> created;
    std::chrono::milliseconds pre_record{0};
    Leg caller = Leg::kA;
};

// Owner of everything: workers, spool writer, flusher. Knows which session is on which worker, and which recording
// belongs to which session.
//
// Any thread may call anything. One lock keeps control calls apart; it is never held while a file is created, and
// packets never meet it. Unknown ids throw std::out_of_range, ids in use std::invalid_argument, the system's refusals
// std::system_error, and everything but poll() throws std::runtime_error once closed.
//
// Limits: a session has one recording at a time, and LookBack::kMax of look-back. A new session goes to the worker with
// the fewest.
class Engine {
  public:
    static constexpr std::size_t kMaxWorkers = 64;
    static constexpr std::size_t kMaxLookBackOctets = 1 << 30;  // 2000 sessions with 10 s each
    static constexpr std::chrono::minutes kMaxAge{10};          // of time 0 when a recording starts

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
    void set_payload_kinds(SessionId id, Leg leg, const PayloadKinds& kinds);
    std::vector<SessionId> silent_sessions(std::chrono::nanoseconds duration);
    // Sides without RTP for so long, unless the last that came was comfort noise.
    std::vector<SilentLeg> silent_legs(std::chrono::nanoseconds duration);
    Totals totals();

    // Keeps the last `duration` of the session while it is not recorded; 0 forgets what was kept. Asking again for the
    // same changes nothing. Throws std::system_error if that and the others' were more than kMaxLookBackOctets.
    void set_look_back(SessionId id, std::chrono::milliseconds duration);
    // Time 0, by the wall clock, of a recording that is asked for now and wants so much look-back: the oldest packet of
    // that span, or now.
    std::chrono::sys_time<std::chrono::nanoseconds> recording_start(SessionId id, std::chrono::milliseconds pre_record);

    void start_recording(const RecordingRequest& request);
    void pause_recording(RecordingId id, std::vector<std::uint8_t> event);
    void resume_recording(RecordingId id, std::vector<std::uint8_t> event);
    void write_event(RecordingId id, Side side, std::vector<std::uint8_t> event);
    void finish_recording(RecordingId id, std::string reason);  // `reason` is JSON

  private:
    struct SessionEntry {
        Worker* worker;
        std::optional<RecordingId> recording{};
        std::chrono::milliseconds look_back{0};
    };
    struct RecordingEntry {
        SessionId session;
        Worker* worker;
        TapId tap;
        Leg caller;
        bool is_attached = false;
        std::uint64_t overflow = 0;
    };
    using Lock = std::lock_guard<std::mutex>;

    void take_events(std::vector<Event>& into);
    void check_open() const;
    Worker& quietest_worker() noexcept;
    SessionEntry& session_entry(SessionId id);
    RecordingEntry& recording_entry(RecordingId id);
    void reserve(const RecordingRequest& request);
    void release(RecordingId id);
    void create_and_attach(const RecordingRequest& request, Time asked);
    void attach(SpoolWriter::Begin recording);
    void detach(RecordingEntry& entry);
    Time on_own_clock(std::chrono::sys_time<std::chrono::nanoseconds> wall_clock) const;
    void post(const RecordingEntry& entry, decltype(SpoolWriter::Order::what) what);
    TapId take_tap();
    static std::size_t look_back_octets(std::chrono::milliseconds duration) noexcept;
    static std::unique_ptr<LookBack> make_look_back(std::chrono::milliseconds duration);

    const Clock clock_;
    Wakeup events_wakeup_;
    EventRing writer_events_{events_wakeup_};
    std::mutex polling_;           // one consumer of event rings at a time
    std::vector<Event> unpolled_;  // what the rings held when they were closed
    std::mutex mutex_;
    bool is_closed_ = false;
    std::unordered_map<SessionId, SessionEntry> sessions_;
    std::unordered_map<RecordingId, RecordingEntry> recordings_;
    std::vector<TapId> free_taps_;
    std::uint32_t next_tap_ = static_cast<std::uint32_t>(TapId::kFirstRecording);
    std::size_t look_back_octets_ = 0;

    // In the order in which they need each other; destroyed from the last to the first.
    std::unique_ptr<Flusher> flusher_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::unique_ptr<SpoolWriter> writer_;
};

}  // namespace engine
