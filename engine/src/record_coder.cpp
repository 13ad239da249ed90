#include "record_coder.hpp"

#include "little_endian.hpp"

namespace engine {

namespace {

constexpr std::uint8_t kPacket = 0x80;
constexpr std::uint8_t kCalled = 0x40;  // the side, also in other records
constexpr std::uint8_t kFull = 0x20;
constexpr std::uint8_t kMarker = 0x10;
constexpr std::uint8_t kHasLength = 0x08;
constexpr std::uint8_t kHasStep = 0x04;
constexpr std::uint8_t kHasSequence = 0x02;

std::uint8_t side_bit(Side side) noexcept { return side == Side::kCalled ? kCalled : 0; }

}  // namespace

// What stands before a packet's payload, put together before it is appended: its octets are few, and a vector that
// looks for room with each of them takes longer than copying the payload.
class RecordCoder::Head {
  public:
    void add_octet(std::uint8_t octet) noexcept { octets_[size_++] = octet; }

    template <class Integer>
    void add_integer(Integer value) noexcept {
        store_little_endian(&octets_[size_], value);
        size_ += sizeof(Integer);
    }

    void add_varint(std::uint64_t value) noexcept {
        for (; value >= 0x80; value >>= 7) add_octet(static_cast<std::uint8_t>(value | 0x80));
        add_octet(static_cast<std::uint8_t>(value));
    }

    void add_zigzag(std::int64_t value) noexcept {
        add_varint(static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
    }

    void append_to(Body& body, Bytes octets) const {
        body.insert(body.end(), octets_.begin(), octets_.begin() + size_);
        body.insert(body.end(), octets.begin(), octets.end());
    }

  private:
    static constexpr std::size_t kMaxVarint = 10;

    std::array<std::uint8_t, 2 + 2 + 4 + 4 + 3 * kMaxVarint> octets_;  // a full packet's
    std::uint8_t size_ = 0;
};

void RecordCoder::start_chunk() noexcept {
    for (SideState& state : sides_) {
        if (state.followers != 0) state.cadence = (state.arrival - state.first_arrival) / state.followers;
        state.is_known = false;
        state.followers = 0;
    }
}

void RecordCoder::add_packet(Body& body, Side side, const RtpHeader& header, Bytes payload, FileTime arrival) {
    SideState& state = sides_[index_of(side)];
    const auto first = static_cast<std::uint8_t>(kPacket | side_bit(side) | (header.marker ? kMarker : 0));
    const bool is_like_before =
        state.is_known && state.payload_type == header.payload_type && state.ssrc == header.ssrc;
    const Head head = is_like_before ? difference(first, state, header, payload.size(), arrival.count())
                                     : full(first, state, header, payload.size(), arrival.count());
    state.sequence = header.sequence;
    state.timestamp = header.timestamp;
    state.arrival = arrival.count();
    state.length = payload.size();
    head.append_to(body, payload);
}

RecordCoder::Head RecordCoder::full(std::uint8_t first, SideState& state, const RtpHeader& header, std::size_t length,
                                    std::uint64_t arrival) noexcept {
    if (!state.is_known) state.first_arrival = arrival;
    state.is_known = true;
    state.payload_type = header.payload_type;
    state.ssrc = header.ssrc;
    state.step = 0;
    Head head;
    head.add_octet(first | kFull);
    head.add_octet(header.payload_type);
    head.add_integer(header.sequence);
    head.add_integer(header.timestamp);
    head.add_integer(header.ssrc);
    head.add_varint(arrival);
    head.add_varint(state.cadence);
    head.add_varint(length);
    return head;
}

RecordCoder::Head RecordCoder::difference(std::uint8_t first, SideState& state, const RtpHeader& header,
                                          std::size_t length, std::uint64_t arrival) noexcept {
    const std::uint32_t step = header.timestamp - state.timestamp;
    const auto skipped = static_cast<std::int16_t>(header.sequence - state.sequence - 1);
    const bool has_step = step != state.step;
    const bool has_length = length != state.length;
    Head head;
    head.add_octet(static_cast<std::uint8_t>(first | (has_length ? kHasLength : 0) | (has_step ? kHasStep : 0) |
                                             (skipped != 0 ? kHasSequence : 0)));
    if (has_step) head.add_zigzag(static_cast<std::int32_t>(step));
    if (skipped != 0) head.add_zigzag(skipped);
    head.add_zigzag(static_cast<std::int64_t>(arrival - state.arrival - state.cadence));
    if (has_length) head.add_varint(length);
    state.step = step;
    ++state.followers;
    return head;
}

void RecordCoder::add_record(Body& body, Kind kind, Side side, FileTime time, Bytes octets) {
    Head head;
    head.add_octet(static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) | side_bit(side)));
    head.add_varint(time.count());
    head.add_varint(octets.size());
    head.append_to(body, octets);
}

}  // namespace engine
