#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace engine {

// Where UDP datagrams come from and go to: an IPv4 or IPv6 address and a port, as a value.
//
// Limits: names are not resolved. IPv6 scope ids are kept, flow labels are not. An IPv4 address written as IPv6
// (::ffff:a.b.c.d) is an IPv6 address here; sockets are opened for one family only, so none is ever received.
struct Address {
    std::array<std::uint8_t, 16> ip{};  // IPv4 fills the first four
    std::uint32_t scope = 0;
    sa_family_t family = AF_UNSPEC;
    std::uint16_t port = 0;

    static std::optional<Address> parse(const std::string& ip, std::uint16_t port);
    static Address from_sockaddr(const sockaddr_storage& native) noexcept;

    // Fills `native` and returns how much of it counts.
    socklen_t to_sockaddr(sockaddr_storage& native) const noexcept;
    std::string ip_text() const;

    // Can something be sent there? Not to 0.0.0.0, ::, or port 0, by which SDP says "nowhere" (RFC 3264 section 8.4).
    bool is_sendable() const noexcept;
    bool operator==(const Address&) const = default;
};

}  // namespace engine
