#pragma once

#include <chrono>
#include <cstdint>

#include "address.hpp"
#include "clock.hpp"

namespace engine {

enum class Latching : std::uint8_t {
    kSymmetric,   // filter by the learned source and answer to it (RFC 4961): for phones behind NAT
    kAsymmetric,  // filter by the learned source, but send where SDP said: for peers that send from another port
    kStrict,      // take only what comes from where SDP said, and send there: for trunks with known addresses
};

// Decides from which source address one kind of packets (RTP or RTCP) of one leg is taken, and where packets for it go.
// Time goes in by argument, and only packets with a valid header may be shown to it. The rules, first match first:
//
//  1. kStrict: only the announced address is taken. Nothing is learned.
//  2. Learned source: taken.
//  3. Nothing learned yet: the first source is learned. This also holds before an address was announced (early media).
//  4. Learning window open: the announced address takes over at once and closes the window, for what SDP says and what
//  is
//     seen agree. Another source takes over if the learned one has been silent for kTakeoverSilence: so a phone that
//     talks cannot be displaced, and a stray first packet does no harm.
//  5. Locked: a source takes over if the learned one has been silent for kRebindSilence and the newcomer goes on with
//  the
//     same SSRC: a NAT has given the phone a new port.
//  6. Anything else is foreign.
//
// The window is open for kLearnWindow from announce(), at the earliest from the first packet after it: a phone that is
// silent while it rings has its window too. Announcing the same address again (a session refresh) keeps what was
// learned and opens the window; another address is used at once, and what was learned is forgotten.
//
// Limit: whoever guesses the port before the phone's first packet is taken for the phone until that packet arrives
// (rule 4). Plain RTP cannot do better; kStrict and SRTP can.
class Latch {
  public:
    static constexpr std::chrono::seconds kLearnWindow{3};
    static constexpr std::chrono::milliseconds kTakeoverSilence{
        100};                                                 // five packets of 20 ms: longer than usual jitter
    static constexpr std::chrono::seconds kRebindSilence{5};  // longer than DTX pauses between comfort noise

    enum class Decision : std::uint8_t { kTaken, kLearned, kForeign };  // kLearned: taken, and the source is a new one

    void announce(const Address& address, Latching latching, Time now) noexcept;
    Decision judge(const Address& source, std::uint32_t ssrc, Time now) noexcept;

    const Address& destination() const noexcept;  // not sendable while none is known
    const Address& announced() const noexcept { return announced_; }
    const Address& seen_from() const noexcept { return source_; }

  private:
    bool may_take_over(const Address& newcomer, std::uint32_t ssrc, Time now) noexcept;

    Address announced_;
    Address source_;  // family AF_UNSPEC: none seen
    Latching latching_ = Latching::kSymmetric;
    bool window_awaits_packet_ = true;
    std::uint32_t ssrc_ = 0;
    Time window_end_{};
    Time last_packet_{};
};

}  // namespace engine
