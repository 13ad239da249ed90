#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "flow.hpp"

namespace engine {

// One spool file: preamble and frames as in docs/wire.md ("The spool file"). Frames gather in memory until write_out()
// appends them, all in one call to the system.
//
// After the first error the file is given up: later frames are dropped, because a reader stops at the torn frame
// anyway. Limits: a payload is at most kMaxPayload (a longer event is cut to nothing; packets are far below). Nothing
// here forces data to the disk; see Flusher.
class SpoolFile {
  public:
    enum class FrameType : std::uint8_t { kMeta = 1, kRtp = 2, kEvent = 3, kEnd = 4 };
    static constexpr std::size_t kMaxPayload = 65536;

    // Creates the file, which must not exist, with its first frame. Throws std::system_error and leaves no file behind.
    SpoolFile(const std::string& path, Bytes meta);
    ~SpoolFile();
    SpoolFile(SpoolFile&& other) noexcept;
    SpoolFile& operator=(SpoolFile&&) = delete;

    void add_packet(const TappedPacket& packet);
    void add_note(FrameType type, Side side, Time time, Bytes json);

    // Returns 0, or the errno that made the file be given up, once.
    int write_out() noexcept;

    bool is_dirty() const noexcept { return !pending_.empty(); }
    std::size_t pending_octets() const noexcept { return pending_.size(); }
    int error() const noexcept { return error_; }
    int fd() const noexcept { return fd_; }
    std::uint64_t octets() const noexcept { return octets_; }
    const std::array<std::uint64_t, 2>& packets() const noexcept { return packets_; }

  private:
    void add_frame(FrameType type, Side side, Bytes head, Bytes body);

    int fd_ = -1;
    int error_ = 0;
    std::vector<std::uint8_t> pending_;
    std::uint64_t octets_ = 0;
    std::array<std::uint64_t, 2> packets_{};
};

}  // namespace engine
