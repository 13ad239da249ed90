#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "address.hpp"
#include "clock.hpp"
#include "packet.hpp"

namespace engine {

enum class Leg : std::uint8_t { kA, kB };  // kA: who offered first
enum class Component : std::uint8_t { kRtp, kRtcp };
enum class Side : std::uint8_t { kCaller, kCalled };  // of a recording; channel 0 and 1

// Where a tap's copies go: nowhere, into the session's own look-back, or to a recording (its place at the writer).
enum class TapId : std::uint32_t { kNone = 0, kLookBack = 1, kFirstRecording = 2 };

constexpr std::size_t index_of(Leg leg) noexcept { return static_cast<std::size_t>(leg); }
constexpr std::size_t index_of(Component component) noexcept { return static_cast<std::size_t>(component); }
constexpr std::size_t index_of(Side side) noexcept { return static_cast<std::size_t>(side); }
constexpr Leg opposite(Leg leg) noexcept { return leg == Leg::kA ? Leg::kB : Leg::kA; }
constexpr std::array<Leg, 2> kLegs{Leg::kA, Leg::kB};

// One of the four local ports of a session.
struct PortId {
    Leg leg = Leg::kA;
    Component component = Component::kRtp;
    bool operator==(const PortId&) const = default;
};

// What happens to the accepted packets of one leg and component: from which of our ports they leave, to which address,
// and which recording gets a copy. Plain data, so that whoever moves packets (a worker's sockets now, a kernel plane
// later) needs to know nothing else about a session.
struct Flow {
    PortId from;
    Address to;  // not sendable: there is nobody to send to
    TapId tap = TapId::kNone;
    Side side = Side::kCaller;
};

enum class PacketKind : std::uint8_t { kRtp, kSenderReport };

// A packet on its way from whoever moves packets to the spool. `datagram` is only lent.
struct TappedPacket {
    TapId tap;
    Side side;
    PacketKind kind = PacketKind::kRtp;
    Time arrival;
    Bytes datagram;
};

}  // namespace engine
