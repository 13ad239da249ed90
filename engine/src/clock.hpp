#pragma once

#include <chrono>

namespace engine {

// A moment in Unix time, to the nanosecond.
using Time = std::chrono::sys_time<std::chrono::nanoseconds>;

// Unix time that never jumps: the wall clock is read once, when the engine starts, and the monotonic clock from then
// on.
//
// Limit: a wall clock that is set later is not followed, so times of a long-running engine drift from it as the
// monotonic clock does. Recordings need steady distances more than the right second.
class Clock {
  public:
    Time now() const noexcept { return Time(std::chrono::steady_clock::now().time_since_epoch() + offset_); }

  private:
    std::chrono::nanoseconds offset_ =
        std::chrono::system_clock::now().time_since_epoch() - std::chrono::steady_clock::now().time_since_epoch();
};

}  // namespace engine
