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

void Relay::set_look_back(std::unique_ptr<LookBack> look_back) noexcept {
    look_back_ = std::move(look_back);
    choose_tap();
}

std::unique_ptr<LookBack> Relay::attach_tap(TapId tap, Leg caller, std::unique_ptr<LookBack> next) noexcept {
    tap_ = tap;
    caller_ = caller;
    tap_overflow_ = 0;
    is_paused_ = false;
    next.swap(look_back_);
    choose_tap();
    return next;
}

void Relay::pause_tap() noexcept {
    is_paused_ = true;
    choose_tap();
}

void Relay::resume_tap() noexcept {
    is_paused_ = false;
    choose_tap();
}

std::uint64_t Relay::detach_tap() noexcept {
    tap_ = TapId::kNone;
    choose_tap();
    return tap_overflow_;
}

void Relay::choose_tap() noexcept {
    if (is_paused_) {
        session_.clear_tap();
    } else if (tap_ != TapId::kNone) {
        session_.set_tap(tap_, caller_);
    } else {
        session_.set_tap(look_back_ ? TapId::kLookBack : TapId::kNone, Leg::kA);
    }
}

}  // namespace engine
