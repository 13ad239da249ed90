#include "event_ring.hpp"

namespace engine {

bool EventRing::put(const Event& event) noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == kCapacity) return false;
    events_[head % kCapacity] = event;
    head_.store(head + 1, std::memory_order_release);
    wakeup_.ring();
    return true;
}

void EventRing::take_all(std::vector<Event>& into) {
    const std::size_t head = head_.load(std::memory_order_acquire);
    std::size_t tail = tail_.load(std::memory_order_relaxed);
    for (; tail != head; ++tail) into.push_back(events_[tail % kCapacity]);
    tail_.store(tail, std::memory_order_release);
}

}  // namespace engine
