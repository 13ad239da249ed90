#include "relay_table.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace engine {

RelayTable::RelayTable() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
}

RelayTable::~RelayTable() { close(epoll_); }

void RelayTable::add(std::unique_ptr<Relay> relay) {
    for (Relay::Port& port : relay->ports()) {
        epoll_event interest{.events = EPOLLIN, .data = {.ptr = &port}};
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, port.socket.fd(), &interest) != 0) {
            throw std::system_error(errno, std::generic_category(), "epoll");
        }
    }
    const SessionId id = relay->id();
    relays_.emplace(id, std::move(relay));
    size_.store(relays_.size(), std::memory_order_relaxed);
}

std::unique_ptr<Relay> RelayTable::remove(SessionId id) {
    const auto found = relays_.find(id);
    std::unique_ptr<Relay> relay = std::move(found->second);
    relays_.erase(found);
    size_.store(relays_.size(), std::memory_order_relaxed);
    for (Relay::Port& port : relay->ports()) epoll_ctl(epoll_, EPOLL_CTL_DEL, port.socket.fd(), nullptr);
    return relay;
}

void RelayTable::append_silent_since(Time moment, std::vector<SessionId>& into) const {
    for (const auto& [id, relay] : relays_) {
        if (relay->last_packet() <= moment) into.push_back(id);
    }
}

void RelayTable::append_silent_legs(Time moment, std::vector<SilentLeg>& into) const {
    for (const auto& [id, relay] : relays_) {
        for (const Leg leg : kLegs) {
            const LegState& state = relay->session().leg(leg);
            if (!state.is_quiet && state.last_packet.value_or(relay->opened()) <= moment) into.push_back({id, leg});
        }
    }
}

}  // namespace engine
