#include "engine.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace engine {

namespace {

// Time 0 goes from the engine's clock to the wall clock and back, and must not end up behind the packet that it is of.
constexpr std::chrono::milliseconds kClockSlack{1};

// What may pass between recording_start() and start_recording(), for keys to be wrapped and signatures made.
constexpr std::chrono::seconds kOpeningTime{1};

Address one_port_above(Address address) noexcept {
    ++address.port;
    return address;
}

Side side_of(Leg leg, Leg caller) noexcept { return leg == caller ? Side::kCaller : Side::kCalled; }

void check_payload(Bytes json) {
    if (json.size() > SasfFile::kMaxRecord) throw std::invalid_argument("the JSON does not fit a record (64 KiB)");
}

}  // namespace

Engine::Engine(std::size_t workers, std::size_t tap_ring_bytes) {
    if (workers < 1 || workers > kMaxWorkers) throw std::invalid_argument("workers: 1 to 64");
    flusher_ = std::make_unique<Flusher>();
    std::vector<TapRing*> rings;
    for (std::size_t i = 0; i < workers; ++i) {
        workers_.push_back(std::make_unique<Worker>(tap_ring_bytes, events_wakeup_, clock_));
        rings.push_back(&workers_.back()->tap());
    }
    writer_ = std::make_unique<SpoolWriter>(std::move(rings), writer_events_, *flusher_, clock_);
}

Engine::~Engine() { close(); }

void Engine::close() {
    const Lock lock(mutex_);
    if (is_closed_) return;
    is_closed_ = true;
    for (const auto& worker : workers_) worker->stop();
    writer_.reset();  // empties the rings
    const Lock polling_lock(polling_);
    take_events(unpolled_);
    workers_.clear();
    flusher_->stop();
    sessions_.clear();
    recordings_.clear();
}

std::vector<Event> Engine::poll() {
    const Lock lock(polling_);
    events_wakeup_.silence();
    std::vector<Event> events = std::exchange(unpolled_, {});
    take_events(events);
    return events;
}

void Engine::take_events(std::vector<Event>& into) {
    for (const auto& worker : workers_) worker->events().take_all(into);
    writer_events_.take_all(into);
}

void Engine::open_session(SessionId id, const Address& a, const Address& b, std::uint8_t dscp) {
    const Lock lock(mutex_);
    check_open();
    if (sessions_.contains(id)) throw std::invalid_argument("the session id is in use");
    std::vector<UdpSocket> sockets;
    for (const Address& local : {a, one_port_above(a), b, one_port_above(b)}) sockets.emplace_back(local, dscp);
    auto relay = std::make_unique<Relay>(id, std::move(sockets), clock_.now());
    Worker& worker = quietest_worker();
    worker.execute([&relay](RelayTable& relays) { relays.add(std::move(relay)); });
    sessions_.emplace(id, SessionEntry{.worker = &worker});
}

Snapshot Engine::close_session(SessionId id) {
    const Lock lock(mutex_);
    SessionEntry& entry = session_entry(id);
    if (entry.recording) detach(recording_entry(*entry.recording));
    look_back_octets_ -= look_back_octets(entry.look_back);
    const auto relay = entry.worker->execute([id](RelayTable& relays) { return relays.remove(id); });
    sessions_.erase(id);
    return {relay->session(), relay->opened(), clock_.now(), relay->tap_overflow()};
}

void Engine::set_remote(SessionId id, Leg leg, const Remote& remote, const ClockRates& clock_rates) {
    const Lock lock(mutex_);
    const SessionEntry& entry = session_entry(id);
    entry.worker->execute([&, now = clock_.now()](RelayTable& relays) {
        relays.at(id).session().set_remote(leg, remote, clock_rates, now);
    });
    if (!entry.recording) return;
    const RecordingEntry& recording = recording_entry(*entry.recording);
    if (recording.is_attached) post(recording, SpoolWriter::Rates{side_of(leg, recording.caller), clock_rates});
}

Snapshot Engine::snapshot(SessionId id) {
    const Lock lock(mutex_);
    return session_entry(id).worker->execute([id, now = clock_.now()](RelayTable& relays) {
        const Relay& relay = relays.at(id);
        return Snapshot{relay.session(), relay.opened(), now, relay.tap_overflow()};
    });
}

std::vector<SessionId> Engine::silent_sessions(std::chrono::nanoseconds duration) {
    const Lock lock(mutex_);
    check_open();
    std::vector<SessionId> silent;
    for (const auto& worker : workers_) {
        worker->execute([&silent, moment = clock_.now() - duration](RelayTable& relays) {
            relays.append_silent_since(moment, silent);
        });
    }
    return silent;
}

void Engine::set_payload_kinds(SessionId id, Leg leg, const PayloadKinds& kinds) {
    const Lock lock(mutex_);
    session_entry(id).worker->execute(
        [&](RelayTable& relays) { relays.at(id).session().set_payload_kinds(leg, kinds); });
}

std::vector<SilentLeg> Engine::silent_legs(std::chrono::nanoseconds duration) {
    const Lock lock(mutex_);
    check_open();
    std::vector<SilentLeg> silent;
    for (const auto& worker : workers_) {
        worker->execute([&silent, moment = clock_.now() - duration](RelayTable& relays) {
            relays.append_silent_legs(moment, silent);
        });
    }
    return silent;
}

Totals Engine::totals() {
    const Lock lock(mutex_);
    check_open();
    Totals totals{.recordings = writer_->recordings(), .flush_errors = flusher_->errors()};
    for (const auto& worker : workers_) {
        const Worker::Counters& counters = worker->counters();
        totals.sessions += worker->sessions();
        totals.packets += counters.packets;
        totals.octets += counters.octets;
        totals.dropped += counters.dropped;
        totals.tap_overflow += counters.tap_overflow;
        totals.events_lost += counters.events_lost;
        totals.tap_fill_permille = std::max<std::uint64_t>(totals.tap_fill_permille, worker->tap().fill_permille());
    }
    return totals;
}

void Engine::set_look_back(SessionId id, std::chrono::milliseconds duration) {
    if (duration.count() < 0 || duration > LookBack::kMax) throw std::invalid_argument("look-back: 0 to 60000 ms");
    const Lock lock(mutex_);
    SessionEntry& entry = session_entry(id);
    if (entry.look_back == duration) return;
    const std::size_t octets = look_back_octets_ - look_back_octets(entry.look_back) + look_back_octets(duration);
    if (octets > kMaxLookBackOctets) {
        throw std::system_error(ENOMEM, std::generic_category(), "all look-backs together are too long");
    }
    auto look_back = make_look_back(duration);
    entry.worker->execute([id, &look_back](RelayTable& relays) { relays.at(id).set_look_back(std::move(look_back)); });
    look_back_octets_ = octets;
    entry.look_back = duration;
}

std::chrono::sys_time<std::chrono::nanoseconds> Engine::recording_start(SessionId id,
                                                                        std::chrono::milliseconds pre_record) {
    const Lock lock(mutex_);
    const auto oldest = session_entry(id).worker->execute([id](RelayTable& relays) {
        const LookBack* const look_back = relays.at(id).look_back();
        return look_back == nullptr ? std::nullopt : look_back->oldest();
    });
    const Time now = clock_.now();
    const auto wall_clock = std::chrono::system_clock::now();
    if (!oldest) return wall_clock;
    return wall_clock - std::min<std::chrono::nanoseconds>(now - *oldest + kClockSlack, pre_record);
}

void Engine::start_recording(const RecordingRequest& request) {
    const Time asked = clock_.now();
    check_payload(request.meta);
    reserve(request);
    try {
        create_and_attach(request, asked);
    } catch (...) {
        release(request.recording);
        throw;
    }
}

// From here on nobody else can record this session, while the file is created without the lock.
void Engine::reserve(const RecordingRequest& request) {
    const Lock lock(mutex_);
    SessionEntry& entry = session_entry(request.session);
    if (recordings_.contains(request.recording)) throw std::invalid_argument("the recording id is in use");
    if (entry.recording) throw std::invalid_argument("the session is being recorded already");
    entry.recording = request.recording;
    recordings_.emplace(
        request.recording,
        RecordingEntry{
            .session = request.session, .worker = entry.worker, .tap = take_tap(), .caller = request.caller});
}

void Engine::release(RecordingId id) {
    const Lock lock(mutex_);
    const auto found = recordings_.find(id);
    if (found == recordings_.end()) return;
    if (const auto session = sessions_.find(found->second.session); session != sessions_.end()) {
        session->second.recording.reset();
    }
    free_taps_.push_back(found->second.tap);
    recordings_.erase(found);
}

void Engine::create_and_attach(const RecordingRequest& request, Time asked) {
    const Time zero = on_own_clock(request.created);
    SasfFile file(request.path, request.opening, request.meta, zero);
    try {
        attach({.recording = request.recording,
                .file = std::move(file),
                .watch = flusher_->watch(std::filesystem::absolute(request.path).parent_path()),
                .sides = RecordedSides({}),
                .look_back = nullptr,
                .since =
                    request.pre_record.count() == 0 ? asked : std::max(zero, asked - request.pre_record - kOpeningTime),
                .asked = asked,
                .is_called_first = request.caller == Leg::kB});
    } catch (...) {
        unlink(request.path.c_str());
        throw;
    }
}

// The writer knows the file before the first packet is copied, because both happen in one turn of the worker. A session
// that was closed meanwhile leaves a file with no packets, to be finished like any other.
void Engine::attach(SpoolWriter::Begin recording) {
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(recording.recording);
    const auto session = sessions_.find(entry.session);
    if (session == sessions_.end()) return post(entry, std::move(recording));
    auto next_look_back = make_look_back(session->second.look_back);
    entry.worker->execute([&](RelayTable& relays) {
        Relay& relay = relays.at(entry.session);
        for (const Leg leg : kLegs) {
            recording.sides.set_clock_rates(side_of(leg, entry.caller), relay.session().leg(leg).clock_rates);
        }
        recording.look_back = relay.attach_tap(entry.tap, entry.caller, std::move(next_look_back));
        post(entry, std::move(recording));
    });
    entry.is_attached = true;
}

// Time 0 keeps the distance from now that it has on the wall clock. One of the future is now.
Time Engine::on_own_clock(std::chrono::sys_time<std::chrono::nanoseconds> wall_clock) const {
    const auto age = std::chrono::system_clock::now() - wall_clock;
    if (age > kMaxAge) throw std::invalid_argument("the recording's time 0 is long ago");
    return clock_.now() - std::max(age, std::chrono::nanoseconds{0});
}

void Engine::pause_recording(RecordingId id, std::vector<std::uint8_t> event) {
    check_payload(event);
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(id);
    if (entry.is_attached) {
        entry.worker->execute([session = entry.session](RelayTable& relays) { relays.at(session).pause_tap(); });
    }
    post(entry, SpoolWriter::Pause{std::move(event)});
}

void Engine::resume_recording(RecordingId id, std::vector<std::uint8_t> event) {
    check_payload(event);
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(id);
    post(entry, SpoolWriter::Resume{std::move(event)});
    if (entry.is_attached) {
        entry.worker->execute([session = entry.session](RelayTable& relays) { relays.at(session).resume_tap(); });
    }
}

void Engine::write_event(RecordingId id, Side side, std::vector<std::uint8_t> event) {
    check_payload(event);
    const Lock lock(mutex_);
    post(recording_entry(id), SpoolWriter::Note{side, std::move(event)});
}

void Engine::finish_recording(RecordingId id, std::string reason) {
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(id);
    detach(entry);
    post(entry, SpoolWriter::Finish{std::move(reason), entry.overflow});
    if (const auto session = sessions_.find(entry.session); session != sessions_.end()) {
        session->second.recording.reset();
    }
    free_taps_.push_back(entry.tap);  // whoever gets it begins behind this recording's end in the writer's orders
    recordings_.erase(id);
}

void Engine::detach(RecordingEntry& entry) {
    if (!std::exchange(entry.is_attached, false)) return;
    entry.overflow = entry.worker->execute(
        [session = entry.session](RelayTable& relays) { return relays.at(session).detach_tap(); });
}

void Engine::post(const RecordingEntry& entry, decltype(SpoolWriter::Order::what) what) {
    TapRing& ring = entry.worker->tap();
    writer_->post(
        {.tap = entry.tap, .ring = &ring, .position = ring.head(), .time = clock_.now(), .what = std::move(what)});
}

TapId Engine::take_tap() {
    if (free_taps_.empty()) return TapId{next_tap_++};
    const TapId tap = free_taps_.back();
    free_taps_.pop_back();
    return tap;
}

std::size_t Engine::look_back_octets(std::chrono::milliseconds duration) noexcept {
    return duration.count() == 0 ? 0 : LookBack::octets_for(duration);
}

std::unique_ptr<LookBack> Engine::make_look_back(std::chrono::milliseconds duration) {
    return duration.count() == 0 ? nullptr : std::make_unique<LookBack>(duration);
}

void Engine::check_open() const {
    if (is_closed_) throw std::runtime_error("the engine is closed");
}

Worker& Engine::quietest_worker() noexcept {
    const auto by_sessions = [](const auto& a, const auto& b) { return a->sessions() < b->sessions(); };
    return **std::min_element(workers_.begin(), workers_.end(), by_sessions);
}

Engine::SessionEntry& Engine::session_entry(SessionId id) {
    check_open();
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) throw std::out_of_range("no such session");
    return found->second;
}

Engine::RecordingEntry& Engine::recording_entry(RecordingId id) {
    check_open();
    const auto found = recordings_.find(id);
    if (found == recordings_.end()) throw std::out_of_range("no such recording");
    return found->second;
}

}  // namespace engine
