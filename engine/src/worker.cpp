#include "worker.hpp"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "thread.hpp"

namespace engine {

namespace {

// Only one thread writes, so the sum needs no locked instruction.
void add(std::atomic<std::uint64_t>& counter, std::uint64_t amount) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace

Worker::Worker(std::size_t tap_ring_bytes, const Wakeup& events_wakeup, const Clock& clock)
    : clock_(clock), tap_(tap_ring_bytes), events_(events_wakeup) {
    epoll_event interest{.events = EPOLLIN, .data = {.ptr = nullptr}};  // no port: the wakeup
    if (epoll_ctl(relays_.epoll_fd(), EPOLL_CTL_ADD, tasks_wakeup_.fd(), &interest) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll");
    }
    thread_ = start_thread("relay", [this] { run(); });
}

Worker::~Worker() { stop(); }

void Worker::stop() {
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
    }
    tasks_wakeup_.ring();
    if (thread_.joinable()) thread_.join();
}

void Worker::post(Task task) {
    {
        const std::lock_guard lock(mutex_);
        if (is_stopping_) throw std::runtime_error("the engine is closed");
        tasks_.push_back(std::move(task));
    }
    tasks_wakeup_.ring();
}

void Worker::run() {
    std::array<epoll_event, kReadySockets> ready;
    bool is_stopping = false;
    while (!is_stopping) {
        const int count = epoll_wait(relays_.epoll_fd(), ready.data(), kReadySockets, -1);
        bool has_tasks = false;
        for (int i = 0; i < count; ++i) {
            auto* port = static_cast<Relay::Port*>(ready[static_cast<std::size_t>(i)].data.ptr);
            if (port == nullptr) {
                has_tasks = true;
            } else {
                pump(*port);
            }
        }
        // Last, because a task may remove relays that this round still names.
        if (has_tasks) is_stopping = run_tasks();
    }
}

bool Worker::run_tasks() {
    tasks_wakeup_.silence();
    std::vector<Task> tasks;
    bool is_stopping = false;
    {
        const std::lock_guard lock(mutex_);
        tasks.swap(tasks_);
        is_stopping = is_stopping_;
    }
    for (const Task& task : tasks) task(relays_);
    return is_stopping;
}

void Worker::pump(Relay::Port& port) noexcept {
    const std::size_t received = batch_.receive(port.socket.fd());
    const Time now = clock_.now();
    for (std::size_t i = 0; i < received; ++i) handle(port, i, now);
    flush(*port.relay);
}

void Worker::handle(Relay::Port& port, std::size_t i, Time now) noexcept {
    Relay& relay = *port.relay;
    const Bytes datagram = batch_.is_whole(i) ? batch_.datagram(i) : Bytes{};  // nothing is malformed
    const Verdict verdict = relay.session().receive(port.id, batch_.source(i), datagram, now);
    add(counters_.packets, 1);
    add(counters_.octets, datagram.size());
    if (verdict.is_tapped) copy(relay, verdict, datagram, now);
    if (verdict.outcome == Verdict::Outcome::kForward) {
        if (verdict.flow->from != queued_from_) flush(relay);
        queued_from_ = verdict.flow->from;
        batch_.queue(i, verdict.flow->to);
    } else {
        add(counters_.dropped, 1);
    }
    const auto session = static_cast<std::uint64_t>(relay.id());
    if (verdict.is_learned) {
        tell({.kind = Event::Kind::kLatched, .leg = port.id.leg, .address = batch_.source(i), .subject = session});
    }
    if (verdict.digit != 0) {
        tell({.kind = Event::Kind::kDigit, .leg = port.id.leg, .digit = verdict.digit, .subject = session});
    }
}

void Worker::copy(Relay& relay, const Verdict& verdict, Bytes datagram, Time now) noexcept {
    const TappedPacket packet{.tap = verdict.flow->tap,
                              .side = verdict.flow->side,
                              .kind = verdict.kind,
                              .arrival = now,
                              .datagram = datagram};
    if (packet.tap == TapId::kLookBack) return relay.look_back()->put(packet);
    if (tap_.put(packet)) return;
    relay.count_tap_overflow();
    add(counters_.tap_overflow, 1);
}

void Worker::tell(const Event& event) noexcept {
    if (!events_.put(event)) add(counters_.events_lost, 1);
}

void Worker::flush(Relay& relay) noexcept {
    if (batch_.queued() == 0) return;
    const auto result = batch_.send(relay.fd_of(queued_from_));
    relay.session().count_sent(queued_from_.leg, result.sent, result.failed);
}

}  // namespace engine
