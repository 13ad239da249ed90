#include "latch.hpp"

#include <algorithm>

namespace engine {

void Latch::announce(const Address& address, Latching latching, Time now) noexcept {
    const bool is_refresh = address == announced_ && latching == latching_;
    announced_ = address;
    latching_ = latching;
    window_end_ = now + kLearnWindow;
    window_awaits_packet_ = true;
    if (!is_refresh) source_ = {};
}

Latch::Decision Latch::judge(const Address& source, std::uint32_t ssrc, Time now) noexcept {
    const bool is_same = source == source_;
    if (latching_ == Latching::kStrict && source != announced_) return Decision::kForeign;
    if (!is_same && !may_take_over(source, ssrc, now)) return Decision::kForeign;
    if (window_awaits_packet_) {
        window_awaits_packet_ = false;
        window_end_ = std::max(window_end_, now + kLearnWindow);
    }
    if (source == announced_) window_end_ = now;
    source_ = source;
    ssrc_ = ssrc;
    last_packet_ = now;
    return is_same ? Decision::kTaken : Decision::kLearned;
}

bool Latch::may_take_over(const Address& newcomer, std::uint32_t ssrc, Time now) noexcept {
    if (source_.family == AF_UNSPEC || latching_ == Latching::kStrict) return true;
    const auto silence = now - last_packet_;
    const bool is_learning = window_awaits_packet_ || now < window_end_;
    if (is_learning && newcomer == announced_) return true;
    if (is_learning) return silence >= kTakeoverSilence;
    return silence >= kRebindSilence && ssrc == ssrc_;
}

const Address& Latch::destination() const noexcept {
    const bool answers_to_source = latching_ == Latching::kSymmetric && source_.family != AF_UNSPEC;
    return answers_to_source ? source_ : announced_;
}

}  // namespace engine
