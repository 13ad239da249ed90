#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "address.hpp"
#include "packet.hpp"

namespace engine {

// The memory that datagrams pass through, and the calls that move many at once: received from one socket, and sent from
// there without a copy.
//
// Limits: kSize datagrams at a time. One longer than kMaxDatagram arrives cut, and is_whole() says so: media packets
// fit an Ethernet frame.
class DatagramBatch {
  public:
    static constexpr std::size_t kSize = 64;
    static constexpr std::size_t kMaxDatagram = 2048;

    struct Sent {
        std::size_t sent = 0;
        std::size_t failed = 0;
    };

    DatagramBatch() noexcept;
    DatagramBatch(const DatagramBatch&) = delete;
    DatagramBatch& operator=(const DatagramBatch&) = delete;

    // How many were received; 0 if none waits.
    std::size_t receive(int fd) noexcept;
    Bytes datagram(std::size_t i) const noexcept { return {buffers_[i].data(), incoming_[i].msg_len}; }
    bool is_whole(std::size_t i) const noexcept { return (incoming_[i].msg_hdr.msg_flags & MSG_TRUNC) == 0; }
    Address source(std::size_t i) const noexcept { return Address::from_sockaddr(sources_[i]); }

    // Puts a received datagram into the next send().
    void queue(std::size_t i, const Address& to) noexcept;
    std::size_t queued() const noexcept { return queued_; }
    Sent send(int fd) noexcept;

  private:
    using Buffer = std::array<std::uint8_t, kMaxDatagram>;

    std::array<Buffer, kSize> buffers_;
    std::array<sockaddr_storage, kSize> sources_;
    std::array<sockaddr_storage, kSize> destinations_;
    std::array<iovec, kSize> incoming_parts_;
    std::array<iovec, kSize> outgoing_parts_;
    std::array<mmsghdr, kSize> incoming_;
    std::array<mmsghdr, kSize> outgoing_;
    std::size_t queued_ = 0;
};

}  // namespace engine
