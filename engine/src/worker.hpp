#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "datagram_batch.hpp"
#include "event_ring.hpp"
#include "relay_table.hpp"
#include "tap_ring.hpp"
#include "wakeup.hpp"

namespace engine {

// A thread that moves the packets of its relays. A relay belongs to one worker for life, so packets pass without a
// lock. Everybody else hands in work with execute(), which runs between two packets.
//
// Limits: a socket gets one batch (DatagramBatch::kSize) a turn, so that a flood on one port delays the others by one
// batch only. Nothing on the packet path allocates, throws or waits: what cannot be sent, tapped or told at once is
// counted.
class Worker {
  public:
    // Written by the worker alone, read by any thread.
    struct Counters {
        std::atomic<std::uint64_t> packets{0};
        std::atomic<std::uint64_t> octets{0};
        std::atomic<std::uint64_t> dropped{0};  // foreign, malformed, undeliverable
        std::atomic<std::uint64_t> tap_overflow{0};
        std::atomic<std::uint64_t> events_lost{0};
    };

    Worker(std::size_t tap_ring_bytes, const Wakeup& events_wakeup, const Clock& clock);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Runs `work` with the worker's RelayTable on the worker's thread; returns what it returns, throws what it throws.
    template <class Work>
    std::invoke_result_t<Work, RelayTable&> execute(Work&& work) {
        using Result = std::invoke_result_t<Work, RelayTable&>;
        // Shared, because the worker is still inside the task when the result is already here.
        auto task = std::make_shared<std::packaged_task<Result(RelayTable&)>>(std::forward<Work>(work));
        std::future<Result> result = task->get_future();
        post([task](RelayTable& relays) { (*task)(relays); });
        return result.get();
    }

    // Ends the thread, after the work already handed in. Rings and counters can still be read.
    void stop();

    TapRing& tap() noexcept { return tap_; }
    EventRing& events() noexcept { return events_; }
    const Counters& counters() const noexcept { return counters_; }
    std::size_t sessions() const noexcept { return relays_.size(); }

  private:
    using Task = std::function<void(RelayTable&)>;
    static constexpr std::size_t kReadySockets = 256;  // asked of epoll at once

    void post(Task task);
    void run();
    bool run_tasks();  // returns whether to stop
    void pump(Relay::Port& port) noexcept;
    void handle(Relay::Port& port, std::size_t i, Time now) noexcept;
    void copy(Relay& relay, const Verdict& verdict, Bytes datagram, Time now) noexcept;
    void tell(const Event& event) noexcept;
    void flush(Relay& relay) noexcept;

    const Clock& clock_;
    TapRing tap_;
    EventRing events_;
    Wakeup tasks_wakeup_;
    RelayTable relays_;
    DatagramBatch batch_;
    PortId queued_from_;  // the port that the queued datagrams leave from
    Counters counters_;

    std::mutex mutex_;
    std::vector<Task> tasks_;
    bool is_stopping_ = false;
    std::thread thread_;
};

}  // namespace engine
