#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "flow.hpp"

namespace engine {

// Times in a SASF file: units of 125 microseconds since its time 0.
using FileTime = std::chrono::duration<std::uint64_t, std::ratio<1, 8000>>;

// Appends records to the body of a chunk, as in docs/sasf.md section 4. A packet costs two octets beside its payload as
// long as a side sends steadily, because only differences to what was to be expected are written.
//
// Not responsible for where a chunk ends: start_chunk() says that a new body begins.
class RecordCoder {
  public:
    using Body = std::vector<std::uint8_t>;
    enum class Kind : std::uint8_t { kMeta = 1, kEvent = 2, kSenderReport = 3, kEnd = 4 };

    void start_chunk() noexcept;
    void add_packet(Body& body, Side side, const RtpHeader& header, Bytes payload, FileTime arrival);
    void add_record(Body& body, Kind kind, Side side, FileTime time, Bytes octets);

  private:
    struct SideState {
        bool is_known = false;  // a packet of this side is in the chunk
        std::uint8_t payload_type = 0;
        std::uint16_t sequence = 0;
        std::uint32_t timestamp = 0;
        std::uint32_t ssrc = 0;
        std::uint32_t step = 0;
        std::uint64_t arrival = 0;
        std::size_t length = 0;
        std::uint64_t cadence = kUsualCadence;
        std::uint64_t first_arrival = 0;  // in the chunk, to learn the cadence of the next
        std::uint64_t followers = 0;
    };
    static constexpr std::uint64_t kUsualCadence = 160;  // 20 ms, until a chunk showed another

    class Head;

    static Head full(std::uint8_t first, SideState& state, const RtpHeader& header, std::size_t length,
                     std::uint64_t arrival) noexcept;
    static Head difference(std::uint8_t first, SideState& state, const RtpHeader& header, std::size_t length,
                           std::uint64_t arrival) noexcept;

    std::array<SideState, 2> sides_;
};

}  // namespace engine
