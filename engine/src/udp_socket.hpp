#pragma once

#include <cstdint>

#include "address.hpp"

namespace engine {

// A bound UDP socket of a session, set up for media: never blocks, marks packets with a DSCP, has room for a burst.
//
// Limit: a wildcard address is bound for one family only; the source address of what is sent is then the route's.
class UdpSocket {
  public:
    // Throws std::system_error (EADDRINUSE, EADDRNOTAVAIL, EMFILE, ...).
    UdpSocket(const Address& local, std::uint8_t dscp);
    ~UdpSocket();
    UdpSocket(UdpSocket&& other) noexcept;
    UdpSocket& operator=(UdpSocket&&) = delete;

    int fd() const noexcept { return fd_; }

  private:
    int fd_;
};

}  // namespace engine
