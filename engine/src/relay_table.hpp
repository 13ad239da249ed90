#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <unordered_map>
#include <vector>

#include "relay.hpp"

namespace engine {

// A side that should send, if the call is as its description says, and does not.
struct SilentLeg {
    SessionId session;
    Leg leg;
};

// The relays of one worker, and the epoll instance that watches their sockets. Only the worker's thread uses it,
// but for size().
class RelayTable {
  public:
    RelayTable();
    ~RelayTable();
    RelayTable(const RelayTable&) = delete;
    RelayTable& operator=(const RelayTable&) = delete;

    int epoll_fd() const noexcept { return epoll_; }
    std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }  // any thread
    void add(std::unique_ptr<Relay> relay);
    std::unique_ptr<Relay> remove(SessionId id);
    Relay& at(SessionId id) { return *relays_.at(id); }
    void append_silent_since(Time moment, std::vector<SessionId>& into) const;
    void append_silent_legs(Time moment, std::vector<SilentLeg>& into) const;

  private:
    int epoll_;
    std::unordered_map<SessionId, std::unique_ptr<Relay>> relays_;
    std::atomic<std::size_t> size_{0};
};

}  // namespace engine
