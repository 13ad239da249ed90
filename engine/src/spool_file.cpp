#include "spool_file.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace engine {

namespace {

constexpr std::array<std::uint8_t, 16> kPreamble{'M', 'S', 'D', 'S', 'P', 'O', 'O', 'L', 1};
constexpr std::uint16_t kMagic = 0xD5A5;
constexpr std::size_t kMagicSize = 2;
constexpr std::size_t kHeaderSize = 8;
constexpr std::size_t kChecksumSize = 4;

template <class Integer>
std::array<std::uint8_t, sizeof(Integer)> little_endian(Integer value) noexcept {
    std::array<std::uint8_t, sizeof(Integer)> octets;
    for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = static_cast<std::uint8_t>(value >> (8 * i));
    return octets;
}

std::array<std::uint8_t, 8> frame_time(Time time) noexcept {
    return little_endian(static_cast<std::uint64_t>(time.time_since_epoch().count()));
}

void put(std::uint8_t* at, Bytes octets) noexcept { std::copy(octets.begin(), octets.end(), at); }

}  // namespace

SpoolFile::SpoolFile(const std::string& path, Bytes meta)
    : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
    pending_.assign(kPreamble.begin(), kPreamble.end());
    add_frame(FrameType::kMeta, Side::kCaller, {}, meta);
    if (const int error = write_out(); error != 0) {
        close(fd_);
        unlink(path.c_str());
        throw std::system_error(error, std::generic_category(), path);
    }
}

SpoolFile::~SpoolFile() {
    if (fd_ >= 0) close(fd_);
}

SpoolFile::SpoolFile(SpoolFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      error_(other.error_),
      pending_(std::move(other.pending_)),
      octets_(other.octets_),
      packets_(other.packets_) {}

void SpoolFile::add_packet(const TappedPacket& packet) {
    if (error_ != 0) return;
    add_frame(FrameType::kRtp, packet.side, frame_time(packet.arrival), packet.datagram);
    ++packets_[index_of(packet.side)];
}

void SpoolFile::add_note(FrameType type, Side side, Time time, Bytes json) {
    if (error_ == 0) add_frame(type, side, frame_time(time), json);
}

void SpoolFile::add_frame(FrameType type, Side side, Bytes head, Bytes body) {
    const std::size_t start = pending_.size();
    const auto length = static_cast<std::uint32_t>(head.size() + body.size());
    pending_.resize(start + kHeaderSize + length + kChecksumSize);
    std::uint8_t* const frame = pending_.data() + start;
    put(frame, little_endian(kMagic));
    frame[2] = static_cast<std::uint8_t>(type);
    frame[3] = static_cast<std::uint8_t>(side);
    put(frame + 4, little_endian(length));
    put(frame + kHeaderSize, head);
    put(frame + kHeaderSize + head.size(), body);
    const auto checksum = crc32_z(0, frame + kMagicSize, kHeaderSize - kMagicSize + length);
    put(frame + kHeaderSize + length, little_endian(static_cast<std::uint32_t>(checksum)));
}

int SpoolFile::write_out() noexcept {
    Bytes rest(pending_);
    while (!rest.empty() && error_ == 0) {
        const ssize_t written = write(fd_, rest.data(), rest.size());
        if (written >= 0) {
            rest = rest.subspan(static_cast<std::size_t>(written));
            octets_ += static_cast<std::uint64_t>(written);
        } else if (errno != EINTR) {
            error_ = errno;
        }
    }
    const bool is_new_error = !pending_.empty() && error_ != 0;
    pending_.clear();
    return is_new_error ? error_ : 0;
}

}  // namespace engine
