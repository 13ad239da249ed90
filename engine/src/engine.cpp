#include "engine.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace engine {

namespace {

Address one_port_above(Address address) noexcept {
    ++address.port;
    return address;
}

void check_payload(Bytes json) {
    if (json.size() + sizeof(std::uint64_t) > SpoolFile::kMaxPayload) {
        throw std::invalid_argument("the JSON does not fit a frame of the spool file (64 KiB)");
    }
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
    writer_ = std::make_unique<SpoolWriter>(std::move(rings), writer_events_);
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
    if (entry.tap != TapId::kNone) detach(recording_entry(entry.tap));
    const auto relay = entry.worker->execute([id](RelayTable& relays) { return relays.remove(id); });
    sessions_.erase(id);
    return {relay->session(), relay->opened(), clock_.now(), relay->tap_overflow()};
}

void Engine::set_remote(SessionId id, Leg leg, const Remote& remote, const ClockRates& clock_rates) {
    const Lock lock(mutex_);
    session_entry(id).worker->execute([&, now = clock_.now()](RelayTable& relays) {
        relays.at(id).session().set_remote(leg, remote, clock_rates, now);
    });
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

void Engine::start_recording(SessionId id, TapId tap, const std::string& path, Bytes meta, Leg caller) {
    check_payload(meta);
    reserve(id, tap);
    try {
        create_and_attach(tap, path, meta, caller);
    } catch (...) {
        release(tap);
        throw;
    }
}

// From here on nobody else can record this session, while the file is created without the lock.
void Engine::reserve(SessionId id, TapId tap) {
    const Lock lock(mutex_);
    SessionEntry& entry = session_entry(id);
    if (tap == TapId::kNone || recordings_.contains(tap)) throw std::invalid_argument("the recording id is in use");
    if (entry.tap != TapId::kNone) throw std::invalid_argument("the session is being recorded already");
    entry.tap = tap;
    recordings_.emplace(tap, RecordingEntry{.session = id, .worker = entry.worker});
}

void Engine::release(TapId tap) {
    const Lock lock(mutex_);
    const auto found = recordings_.find(tap);
    if (found == recordings_.end()) return;
    if (const auto session = sessions_.find(found->second.session); session != sessions_.end()) {
        session->second.tap = TapId::kNone;
    }
    recordings_.erase(found);
}

void Engine::create_and_attach(TapId tap, const std::string& path, Bytes meta, Leg caller) {
    SpoolFile file(path, meta);
    try {
        const auto folder = std::filesystem::absolute(path).parent_path();
        attach(tap, {std::move(file), flusher_->watch(folder)}, caller);
    } catch (...) {
        unlink(path.c_str());
        throw;
    }
}

// The writer knows the file before the first packet is copied. A session that was closed meanwhile leaves a file with
// no packets, to be finished like any other.
void Engine::attach(TapId tap, SpoolWriter::Begin recording, Leg caller) {
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(tap);
    post(tap, *entry.worker, std::move(recording));
    if (!sessions_.contains(entry.session)) return;
    entry.is_attached = true;
    entry.worker->execute(
        [id = entry.session, tap, caller](RelayTable& relays) { relays.at(id).attach_tap(tap, caller); });
}

void Engine::pause_recording(TapId tap, std::vector<std::uint8_t> event) {
    check_payload(event);
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(tap);
    if (entry.is_attached) {
        entry.worker->execute([id = entry.session](RelayTable& relays) { relays.at(id).pause_tap(); });
    }
    post(tap, *entry.worker, SpoolWriter::Note{Side::kCaller, std::move(event)});
}

void Engine::resume_recording(TapId tap, std::vector<std::uint8_t> event) {
    check_payload(event);
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(tap);
    post(tap, *entry.worker, SpoolWriter::Note{Side::kCaller, std::move(event)});
    if (entry.is_attached) {
        entry.worker->execute([id = entry.session](RelayTable& relays) { relays.at(id).resume_tap(); });
    }
}

void Engine::write_event(TapId tap, Side side, std::vector<std::uint8_t> event) {
    check_payload(event);
    const Lock lock(mutex_);
    post(tap, *recording_entry(tap).worker, SpoolWriter::Note{side, std::move(event)});
}

std::uint64_t Engine::detach_recording(TapId tap) {
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(tap);
    detach(entry);
    return entry.overflow;
}

void Engine::finish_recording(TapId tap, std::vector<std::uint8_t> end) {
    check_payload(end);
    const Lock lock(mutex_);
    RecordingEntry& entry = recording_entry(tap);
    detach(entry);
    post(tap, *entry.worker, SpoolWriter::Finish{std::move(end), entry.overflow});
    if (const auto session = sessions_.find(entry.session); session != sessions_.end()) {
        session->second.tap = TapId::kNone;
    }
    recordings_.erase(tap);
}

void Engine::detach(RecordingEntry& entry) {
    if (!std::exchange(entry.is_attached, false)) return;
    entry.overflow =
        entry.worker->execute([id = entry.session](RelayTable& relays) { return relays.at(id).detach_tap(); });
}

void Engine::post(TapId tap, Worker& worker, decltype(SpoolWriter::Order::what) what) {
    TapRing& ring = worker.tap();
    writer_->post({.tap = tap, .ring = &ring, .position = ring.head(), .time = clock_.now(), .what = std::move(what)});
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

Engine::RecordingEntry& Engine::recording_entry(TapId tap) {
    check_open();
    const auto found = recordings_.find(tap);
    if (found == recordings_.end()) throw std::out_of_range("no such recording");
    return found->second;
}

}  // namespace engine
