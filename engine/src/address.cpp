#include "address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace engine {

std::optional<Address> Address::parse(const std::string& ip, std::uint16_t port) {
    Address address;
    address.port = port;
    address.family = ip.find(':') == std::string::npos ? AF_INET : AF_INET6;
    if (inet_pton(address.family, ip.c_str(), address.ip.data()) != 1) return std::nullopt;
    return address;
}

Address Address::from_sockaddr(const sockaddr_storage& native) noexcept {
    Address address;
    if (native.ss_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &native, sizeof v4);
        std::memcpy(address.ip.data(), &v4.sin_addr, sizeof v4.sin_addr);
        address.port = ntohs(v4.sin_port);
        address.family = AF_INET;
    } else if (native.ss_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, &native, sizeof v6);
        std::memcpy(address.ip.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
        address.port = ntohs(v6.sin6_port);
        address.scope = v6.sin6_scope_id;
        address.family = AF_INET6;
    }
    return address;
}

socklen_t Address::to_sockaddr(sockaddr_storage& native) const noexcept {
    if (family == AF_INET) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        std::memcpy(&v4.sin_addr, ip.data(), sizeof v4.sin_addr);
        std::memcpy(&native, &v4, sizeof v4);
        return sizeof v4;
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_scope_id = scope;
    std::memcpy(&v6.sin6_addr, ip.data(), sizeof v6.sin6_addr);
    std::memcpy(&native, &v6, sizeof v6);
    return sizeof v6;
}

std::string Address::ip_text() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (family == AF_UNSPEC || inet_ntop(family, ip.data(), text.data(), text.size()) == nullptr) return {};
    return text.data();
}

bool Address::is_sendable() const noexcept {
    const auto is_zero = [](std::uint8_t octet) { return octet == 0; };
    return family != AF_UNSPEC && port != 0 && !std::all_of(ip.begin(), ip.end(), is_zero);
}

}  // namespace engine
