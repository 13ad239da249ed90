#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "look_back.hpp"
#include "session.hpp"
#include "udp_socket.hpp"

namespace engine {

enum class SessionId : std::uint64_t {};

// A session with the sockets that its packets move through. Lives on one worker; only that thread touches it.
class Relay {
  public:
    // A socket of the relay, as epoll gives it back.
    struct Port {
        Relay* relay;
        PortId id;
        UdpSocket socket;
    };

    // Sockets come in the order A's RTP, A's RTCP, B's RTP, B's RTCP.
    Relay(SessionId id, std::vector<UdpSocket> sockets, Time now);
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    SessionId id() const noexcept { return id_; }
    Time opened() const noexcept { return opened_; }
    Session& session() noexcept { return session_; }
    const Session& session() const noexcept { return session_; }
    std::array<Port, 4>& ports() noexcept { return ports_; }
    int fd_of(PortId port) const noexcept;
    Time last_packet() const noexcept;  // accepted RTP of either leg, or when the relay was opened

    // The look-back hears the session while no recording does; nothing of a recording, and of its pauses, comes into
    // it. Its sides are as if leg A had called. None: nothing is kept.
    void set_look_back(std::unique_ptr<LookBack> look_back) noexcept;
    LookBack* look_back() noexcept { return look_back_.get(); }

    // Gives the look-back away, so that nothing is missing or twice between it and the recording; `next` takes its
    // place.
    std::unique_ptr<LookBack> attach_tap(TapId tap, Leg caller, std::unique_ptr<LookBack> next) noexcept;
    void pause_tap() noexcept;
    void resume_tap() noexcept;
    std::uint64_t detach_tap() noexcept;  // returns the overflow; a pause lasts on for the look-back
    void count_tap_overflow() noexcept { ++tap_overflow_; }
    std::uint64_t tap_overflow() const noexcept { return tap_overflow_; }

  private:
    void choose_tap() noexcept;

    SessionId id_;
    Time opened_;
    Session session_;
    std::array<Port, 4> ports_;
    TapId tap_ = TapId::kNone;
    Leg caller_ = Leg::kA;
    bool is_paused_ = false;
    std::unique_ptr<LookBack> look_back_;
    std::uint64_t tap_overflow_ = 0;  // of the present tap or the last
};

}  // namespace engine
