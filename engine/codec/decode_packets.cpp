#include "decode_packets.hpp"

#include <vector>

#include "concealment.hpp"

namespace codec {
namespace {

// Writes into the buffer where a place is wholly inside of it, and beside it otherwise.
class Placement {
  public:
    explicit Placement(std::span<Sample> buffer) : buffer_(buffer) {}

    std::span<Sample> at(std::int64_t place, std::size_t capacity) {
        const auto size = static_cast<std::int64_t>(buffer_.size());
        inside_ = place >= 0 && place <= size && static_cast<std::int64_t>(capacity) <= size - place;
        if (inside_) return buffer_.subspan(static_cast<std::size_t>(place), capacity);
        place_ = place;
        aside_.assign(capacity, 0);
        return aside_;
    }

    void settle(std::size_t written) {
        if (inside_) return;
        const auto size = static_cast<std::int64_t>(buffer_.size());
        const std::int64_t first = std::max<std::int64_t>(0, -place_);
        const std::int64_t last = std::min(static_cast<std::int64_t>(written), size - place_);
        for (std::int64_t i = first; i < last; ++i) {
            buffer_[static_cast<std::size_t>(place_ + i)] = aside_[static_cast<std::size_t>(i)];
        }
    }

  private:
    std::span<Sample> buffer_;
    std::vector<Sample> aside_;
    std::int64_t place_ = 0;
    bool inside_ = true;
};

}  // namespace

bool PacketColumns::fits(std::size_t octets) const {
    const std::size_t count = start.size();
    if (length.size() != count || at.size() != count || gap_at.size() != count || gap.size() != count) return false;
    const auto end = static_cast<std::int64_t>(octets);
    for (std::size_t i = 0; i < count; ++i) {
        if (start[i] < 0 || length[i] < 0 || start[i] > end || length[i] > end - start[i]) return false;
    }
    return true;
}

void decode_packets(Decoder& decoder, int rate, Octets data, const PacketColumns& packets, std::span<Sample> buffer) {
    Concealment concealment(rate);
    Placement placement(buffer);
    for (std::size_t i = 0; i < packets.size(); ++i) {
        const auto start = static_cast<std::size_t>(packets.start[i]);
        const Octets payload = data.subspan(start, static_cast<std::size_t>(packets.length[i]));
        bool extrapolated = false;
        if (packets.gap[i] > 0) {
            const auto gap = static_cast<std::size_t>(packets.gap[i]);
            const bool adjoins = packets.gap_at[i] + packets.gap[i] == packets.at[i];
            if (decoder.conceal(adjoins ? payload : Octets{}, placement.at(packets.gap_at[i], gap))) {
                placement.settle(gap);
            } else if (packets.gap_at[i] >= 0) {
                concealment.fill(buffer, static_cast<std::size_t>(packets.gap_at[i]), gap);
                extrapolated = adjoins;
            }
        }
        placement.settle(decoder.decode(payload, placement.at(packets.at[i], decoder.capacity(payload.size()))));
        if (extrapolated) concealment.blend(buffer, static_cast<std::size_t>(packets.at[i]));
    }
}

}  // namespace codec
