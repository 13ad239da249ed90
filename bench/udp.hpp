// UDP sockets and address lists for the bench's own programs: what the load generator and the bare relay share.
// Not the engine's code on purpose: what measures must not change with what is measured.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

namespace bench {

inline constexpr int kExitFault = 2;
// A phone's burst and a scheduling gap of a second fit; what is lost here would be blamed on the relay.
inline constexpr int kSocketBufferBytes = 1 << 20;

[[noreturn]] inline void fail(const std::string& what) {
    std::cerr << what << '\n';
    std::exit(kExitFault);
}

[[noreturn]] inline void fail_with_errno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

// "127.0.0.1:5004"
inline std::optional<sockaddr_in> parse_address(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) {
        return std::nullopt;
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const auto port = std::strtoul(text.c_str() + colon + 1, nullptr, 10);
    if (port == 0 || port > UINT16_MAX || inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
        return std::nullopt;
    }
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
}

inline std::istream& operator>>(std::istream& in, sockaddr_in& address) {
    std::string text;
    if (in >> text) {
        const auto parsed = parse_address(text);
        if (!parsed) {
            fail("not an address and port: " + text);
        }
        address = *parsed;
    }
    return in;
}

inline const sockaddr* generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

// A bound, connected, non-blocking UDP socket: it takes packets from its peer alone, as a phone's does.
class Socket {
  public:
    Socket(const sockaddr_in& local, const sockaddr_in& remote)
        : descriptor_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        if (descriptor_ < 0) {
            fail_with_errno("socket");
        }
        grow(SO_RCVBUFFORCE, SO_RCVBUF);
        grow(SO_SNDBUFFORCE, SO_SNDBUF);
        if (::bind(descriptor_, generic(local), sizeof local) != 0) {
            char text[INET_ADDRSTRLEN] = "";
            inet_ntop(AF_INET, &local.sin_addr, text, sizeof text);
            fail_with_errno("bind to " + std::string(text) + ":" + std::to_string(ntohs(local.sin_port)));
        }
        if (::connect(descriptor_, generic(remote), sizeof remote) != 0) {
            fail_with_errno("connect");
        }
    }
    Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    Socket& operator=(Socket&&) = delete;
    ~Socket() {
        if (descriptor_ >= 0) {
            ::close(descriptor_);
        }
    }

    [[nodiscard]] int descriptor() const { return descriptor_; }

  private:
    // The forced form is not bound by net.core.*mem_max; it needs a privilege that a namespace's root has.
    void grow(int forced, int polite) const {
        if (::setsockopt(descriptor_, SOL_SOCKET, forced, &kSocketBufferBytes, sizeof kSocketBufferBytes) != 0) {
            ::setsockopt(descriptor_, SOL_SOCKET, polite, &kSocketBufferBytes, sizeof kSocketBufferBytes);
        }
    }

    int descriptor_;
};

inline volatile std::sig_atomic_t stop_requested = 0;

// End on TERM and INT, and with the process that started us; have room for a socket a phone.
inline void prepare_process() {
    const auto on_signal = [](int) { stop_requested = 1; };
    std::signal(SIGTERM, on_signal);
    std::signal(SIGINT, on_signal);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace bench
