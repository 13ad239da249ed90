#include "udp_socket.hpp"

#include <netinet/ip.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace engine {

namespace {

// Room for two seconds of 50 packets/s at about 1.3 KiB of kernel memory each, with as much again for video bursts.
// SO_RCVBUFFORCE (CAP_NET_ADMIN) is not bound by net.core.rmem_max; without it the system gives what it allows.
constexpr int kBufferBytes = 512 << 10;

void set_option(int fd, int level, int option, int value) noexcept {
    setsockopt(fd, level, option, &value, sizeof value);
}

void set_buffer(int fd, int forced, int usual) noexcept {
    if (setsockopt(fd, SOL_SOCKET, forced, &kBufferBytes, sizeof kBufferBytes) != 0) {
        set_option(fd, SOL_SOCKET, usual, kBufferBytes);
    }
}

}  // namespace

UdpSocket::UdpSocket(const Address& local, std::uint8_t dscp)
    : fd_(socket(local.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "UDP socket");
    const bool is_v6 = local.family == AF_INET6;
    if (is_v6) set_option(fd_, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set_option(fd_, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_TCLASS : IP_TOS, dscp << 2);
    set_buffer(fd_, SO_RCVBUFFORCE, SO_RCVBUF);
    set_buffer(fd_, SO_SNDBUFFORCE, SO_SNDBUF);
    sockaddr_storage native{};
    const socklen_t size = local.to_sockaddr(native);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&native), size) != 0) {
        const int error = errno;
        close(fd_);
        throw std::system_error(error, std::generic_category(),
                                "UDP " + local.ip_text() + " port " + std::to_string(local.port));
    }
}

UdpSocket::~UdpSocket() {
    if (fd_ >= 0) close(fd_);
}

UdpSocket::UdpSocket(UdpSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

}  // namespace engine
