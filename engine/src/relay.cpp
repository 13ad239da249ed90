#include "relay.hpp"

#include <algorithm>
#include <utility>

namespace engine {

Relay::Relay(SessionId id, std::vector<UdpSocket> sockets, Time now)
    : id_(id),
      opened_(now),
      ports_{Port{this, {Leg::kA, Component::kRtp}, std::move(sockets.at(0))},
             Port{this, {Leg::kA, Component::kRtcp}, std::move(sockets.at(1))},
             Port{this, {Leg::kB, Component::kRtp}, std::move(sockets.at(2))},
             Port{this, {Leg::kB, Component::kRtcp}, std::move(sockets.at(3))}} {}

int Relay::fd_of(PortId port) const noexcept {
    return ports_[2 * index_of(port.leg) + index_of(port.component)].socket.fd();
}

Time Relay::last_packet() const noexcept {
    Time last = opened_;
    for (const Leg leg : kLegs) last = std::max(last, session_.leg(leg).last_packet.value_or(opened_));
    return last;
}

void Relay::attach_tap(TapId tap, Leg caller) noexcept {
    tap_ = tap;
    caller_ = caller;
    tap_overflow_ = 0;
    session_.set_tap(tap, caller);
}

std::uint64_t Relay::detach_tap() noexcept {
    tap_ = TapId::kNone;
    session_.clear_tap();
    return tap_overflow_;
}

}  // namespace engine
