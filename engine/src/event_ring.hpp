#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "event.hpp"
#include "wakeup.hpp"

namespace engine {

// Events from one thread to the owner of the engine, without locks.
//
// Limit: kCapacity events that nobody fetched; further ones are refused. Events are rare (a few a call), so that is
// thousands of calls that the owner slept through.
class EventRing {
  public:
    static constexpr std::size_t kCapacity = 16384;  // a power of two; every call of a full server latches four times

    explicit EventRing(const Wakeup& wakeup) : wakeup_(wakeup), events_(kCapacity) {}

    bool put(const Event& event) noexcept;    // producer
    void take_all(std::vector<Event>& into);  // consumer

  private:
    const Wakeup& wakeup_;
    std::vector<Event> events_;
    alignas(64) std::atomic<std::size_t> head_{0};
    alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace engine
