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

void append_varint(RecordCoder::Body& body, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) body.push_back(static_cast<std::uint8_t>(value | 0x80));
    body.push_back(static_cast<std::uint8_t>(value));
}

void append_zigzag(RecordCoder::Body& body, std::int64_t value) {
    append_varint(body, static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
}

void append(RecordCoder::Body& body, Bytes octets) { body.insert(body.end(), octets.begin(), octets.end()); }

}  // namespace

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
    if (is_like_before) {
        add_difference(body, first, state, header, payload.size(), arrival.count());
    } else {
        add_full(body, first, state, header, payload.size(), arrival.count());
    }
    state.sequence = header.sequence;
    state.timestamp = header.timestamp;
    state.arrival = arrival.count();
    state.length = payload.size();
    append(body, payload);
}

void RecordCoder::add_full(Body& body, std::uint8_t first, SideState& state, const RtpHeader& header,
                           std::size_t length, std::uint64_t arrival) {
    if (!state.is_known) state.first_arrival = arrival;
    state.is_known = true;
    state.payload_type = header.payload_type;
    state.ssrc = header.ssrc;
    state.step = 0;
    body.push_back(first | kFull);
    body.push_back(header.payload_type);
    append_little_endian(body, header.sequence);
    append_little_endian(body, header.timestamp);
    append_little_endian(body, header.ssrc);
    append_varint(body, arrival);
    append_varint(body, state.cadence);
    append_varint(body, length);
}

void RecordCoder::add_difference(Body& body, std::uint8_t first, SideState& state, const RtpHeader& header,
                                 std::size_t length, std::uint64_t arrival) {
    const std::uint32_t step = header.timestamp - state.timestamp;
    const auto skipped = static_cast<std::int16_t>(header.sequence - state.sequence - 1);
    const bool has_step = step != state.step;
    const bool has_length = length != state.length;
    const std::size_t at = body.size();
    body.push_back(first);
    if (has_step) append_zigzag(body, static_cast<std::int32_t>(step));
    if (skipped != 0) append_zigzag(body, skipped);
    append_zigzag(body, static_cast<std::int64_t>(arrival - state.arrival - state.cadence));
    if (has_length) append_varint(body, length);
    body[at] = static_cast<std::uint8_t>(first | (has_length ? kHasLength : 0) | (has_step ? kHasStep : 0) |
                                         (skipped != 0 ? kHasSequence : 0));
    state.step = step;
    ++state.followers;
}

void RecordCoder::add_record(Body& body, Kind kind, Side side, FileTime time, Bytes octets) {
    body.push_back(static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) | side_bit(side)));
    append_varint(body, time.count());
    append_varint(body, octets.size());
    append(body, octets);
}

}  // namespace engine
