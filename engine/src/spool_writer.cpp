#include "spool_writer.hpp"

#include <string_view>
#include <utility>

#include "little_endian.hpp"
#include "thread.hpp"

namespace engine {

namespace {

constexpr std::string_view kBegin = R"({"event":"begin"})";

template <class... Cases>
struct Either : Cases... {
    using Cases::operator()...;
};
template <class... Cases>
Either(Cases...) -> Either<Cases...>;  // for compilers older than the standard that does without

Bytes octets_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Side other(Side side) noexcept { return side == Side::kCaller ? Side::kCalled : Side::kCaller; }

// Without the padding that the header announces (RFC 3550 section 5.1), unless it cannot be true.
Bytes payload_of(Bytes datagram, const RtpHeader& header) noexcept {
    const Bytes payload = datagram.subspan(header.size);
    if ((datagram[0] & 0x20) == 0 || payload.empty() || payload.back() > payload.size()) return payload;
    return payload.first(payload.size() - payload.back());
}

}  // namespace

SpoolWriter::SpoolWriter(std::vector<TapRing*> rings, EventRing& events, Flusher& flusher, const Clock& clock)
    : rings_(std::move(rings)),
      events_(events),
      flusher_(flusher),
      clock_(clock),
      thread_(start_thread("spool-write", [this] { run(); })) {}

SpoolWriter::~SpoolWriter() {
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
    }
    posted_.notify_one();
    thread_.join();
}

void SpoolWriter::post(Order order) {
    {
        const std::lock_guard lock(mutex_);
        orders_.push_back(std::move(order));
    }
    posted_.notify_one();
}

void SpoolWriter::run() {
    std::vector<Order> orders;
    bool is_stopping = false;
    auto next_turn = std::chrono::steady_clock::now() + kTurn;
    while (!is_stopping) {
        {
            std::unique_lock lock(mutex_);
            posted_.wait_until(lock, next_turn, [this] { return is_stopping_ || !orders_.empty(); });
            orders.swap(orders_);
            is_stopping = is_stopping_;
        }
        for (Order& order : orders) {
            drain(*order.ring, order.position);
            carry_out(order);
        }
        orders.clear();
        if (is_stopping || std::chrono::steady_clock::now() >= next_turn) {
            next_turn = std::chrono::steady_clock::now() + kTurn;
            take_turn(is_stopping);
        }
        tell_waiting();
    }
}

void SpoolWriter::take_turn(bool is_last) {
    for (unsigned pass = 0; pass < kPasses; ++pass) {
        for (TapRing* ring : rings_) drain(*ring, ring->head());
    }
    for (const auto& recording : recordings_) {
        if (!recording) continue;
        if (is_last) recording->file.close_chunk();
        recording->file.close_due(clock_.now(), kTurn);
        tell_failure(*recording);
    }
    flusher_.ask();
}

void SpoolWriter::carry_out(Order& order) {
    if (auto* recording = std::get_if<Begin>(&order.what)) return begin(order.tap, *recording);
    Recording& recording = *recordings_[static_cast<std::size_t>(order.tap)];
    const auto write_event = [&](Side side, Bytes json) {
        recording.file.add_record(RecordCoder::Kind::kEvent, side, order.time, json);
    };
    std::visit(Either{[](const Begin&) {}, [&](const Note& note) { write_event(note.side, note.json); },
                      [&](const Pause& pause) {
                          write_event(Side::kCaller, pause.json);
                          recording.file.close_chunk();
                      },
                      [&](const Resume& resume) {
                          write_event(Side::kCaller, resume.json);
                          recording.sides.pass_over_gap();
                      },
                      [&](const Rates& rates) { recording.sides.set_clock_rates(rates.side, rates.rates); },
                      [&](const Finish& finish_order) { finish(order.tap, recording, order.time, finish_order); }},
               order.what);
}

void SpoolWriter::begin(TapId tap, Begin& order) {
    const auto place = static_cast<std::size_t>(tap);
    if (recordings_.size() <= place) recordings_.resize(place + 1);
    recordings_[place].reset(
        new Recording{order.recording, std::move(order.file), std::move(order.watch), std::move(order.sides)});
    count_.fetch_add(1, std::memory_order_relaxed);
    take_look_back(*recordings_[place], order);
}

void SpoolWriter::take_look_back(Recording& recording, Begin& order) {
    bool is_marked = false;
    const auto mark = [&] {
        if (!std::exchange(is_marked, true)) {
            recording.file.add_record(RecordCoder::Kind::kEvent, Side::kCaller, order.asked, octets_of(kBegin));
        }
    };
    if (order.look_back) {
        order.look_back->drain([&](const TappedPacket& packet) {
            if (packet.arrival < order.since) return;
            if (packet.arrival >= order.asked) mark();
            take(recording, order.is_called_first ? other(packet.side) : packet.side, packet);
        });
        order.look_back.reset();
    }
    mark();
}

void SpoolWriter::finish(TapId tap, Recording& recording, Time time, const Finish& order) {
    const std::string end = R"({"reason":)" + order.reason + R"(,"tap_overflow":)" + std::to_string(order.overflow) +
                            R"(,"sides":)" + recording.sides.json() + "}";
    recording.file.add_record(RecordCoder::Kind::kEnd, Side::kCaller, time, octets_of(end));
    recording.file.finish(time, order.reason);
    tell_failure(recording);
    tell({.kind = Event::Kind::kRecordingClosed,
          .subject = static_cast<std::uint64_t>(recording.id),
          .sides = recording.sides.counts(),
          .octets = recording.file.octets(),
          .overflow = order.overflow,
          .error = recording.file.error()});
    recordings_[static_cast<std::size_t>(tap)].reset();
    count_.fetch_sub(1, std::memory_order_relaxed);
}

void SpoolWriter::drain(TapRing& ring, std::uint64_t end) {
    bool is_done = false;
    while (!is_done) {
        is_done = ring.drain(
            end, kDrainStep, [this](const TappedPacket& packet) { drained_.add(packet); },
            [this] {
                drained_.take_all([this](const TappedPacket& packet) {
                    take(*recordings_[static_cast<std::size_t>(packet.tap)], packet.side, packet);
                });
            });
    }
}

void SpoolWriter::take(Recording& recording, Side side, const TappedPacket& packet) {
    if (packet.kind == PacketKind::kSenderReport) {
        const auto report = read_sender_report(packet.datagram);
        if (!report) return;
        std::array<std::uint8_t, 16> octets;
        store_little_endian(octets.data(), report->ssrc);
        store_little_endian(octets.data() + 4, report->ntp);
        store_little_endian(octets.data() + 12, report->timestamp);
        return recording.file.add_record(RecordCoder::Kind::kSenderReport, side, packet.arrival, octets);
    }
    const auto header = read_rtp(packet.datagram);
    if (!header) return;
    recording.sides.receive(side, *header, packet.datagram.size(), packet.arrival);
    recording.file.add_packet(side, *header, payload_of(packet.datagram, *header), packet.arrival);
}

void SpoolWriter::tell_failure(Recording& recording) {
    if (recording.file.error() == 0 || std::exchange(recording.is_failure_told, true)) return;
    tell({.kind = Event::Kind::kRecordingFailed,
          .subject = static_cast<std::uint64_t>(recording.id),
          .error = recording.file.error()});
}

void SpoolWriter::tell(const Event& event) {
    waiting_events_.push_back(event);
    tell_waiting();
}

void SpoolWriter::tell_waiting() {
    while (!waiting_events_.empty() && events_.put(waiting_events_.front())) waiting_events_.pop_front();
}

}  // namespace engine
