#include "spool_writer.hpp"

#include <utility>

#include "thread.hpp"

namespace engine {

SpoolWriter::SpoolWriter(std::vector<TapRing*> rings, EventRing& events)
    : rings_(std::move(rings)), events_(events), thread_(start_thread("spool-write", [this] { run(); })) {}

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
    while (!is_stopping) {
        {
            std::unique_lock lock(mutex_);
            posted_.wait_for(lock, kDrainInterval, [this] { return is_stopping_ || !orders_.empty(); });
            orders.swap(orders_);
            is_stopping = is_stopping_;
        }
        for (Order& order : orders) {
            drain(*order.ring, order.position);
            carry_out(order);
        }
        orders.clear();
        for (TapRing* ring : rings_) drain(*ring, ring->head());
        write_out();
        tell_waiting();
    }
}

void SpoolWriter::carry_out(Order& order) {
    if (auto* recording = std::get_if<Begin>(&order.what)) return begin(order.tap, *recording);
    const auto found = recordings_.find(order.tap);
    if (found == recordings_.end()) return;
    SpoolFile& file = found->second.file;
    const bool was_dirty = file.is_dirty();
    if (const auto* note = std::get_if<Note>(&order.what)) {
        file.add_note(SpoolFile::FrameType::kEvent, note->side, order.time, note->json);
        if (!was_dirty && file.is_dirty()) dirty_.push_back(order.tap);
    } else if (const auto* finish_order = std::get_if<Finish>(&order.what)) {
        file.add_note(SpoolFile::FrameType::kEnd, Side::kCaller, order.time, finish_order->json);
        finish(order.tap, file, *finish_order);
    }
}

void SpoolWriter::begin(TapId tap, Begin& recording) {
    recordings_.emplace(tap, std::move(recording));
    count_.store(recordings_.size(), std::memory_order_relaxed);
}

void SpoolWriter::finish(TapId tap, SpoolFile& file, const Finish& order) {
    write_out(tap, file);
    tell({.kind = Event::Kind::kRecordingClosed,
          .subject = static_cast<std::uint64_t>(tap),
          .packets = file.packets(),
          .octets = file.octets(),
          .overflow = order.overflow,
          .error = file.error()});
    recordings_.erase(tap);
    count_.store(recordings_.size(), std::memory_order_relaxed);
}

void SpoolWriter::drain(TapRing& ring, std::uint64_t end) {
    bool is_done = false;
    while (!is_done) {
        is_done = ring.drain(end, kMaxPending, [this](const TappedPacket& packet) { take(packet); });
        if (pending_ >= kMaxPending) write_out();
    }
}

void SpoolWriter::take(const TappedPacket& packet) {
    const auto found = recordings_.find(packet.tap);
    if (found == recordings_.end()) return;
    SpoolFile& file = found->second.file;
    const bool was_dirty = file.is_dirty();
    file.add_packet(packet);
    if (!was_dirty && file.is_dirty()) dirty_.push_back(packet.tap);
    pending_ += packet.datagram.size();
}

void SpoolWriter::write_out() {
    for (const TapId tap : dirty_) {
        if (const auto found = recordings_.find(tap); found != recordings_.end()) write_out(tap, found->second.file);
    }
    dirty_.clear();
    pending_ = 0;
}

void SpoolWriter::write_out(TapId tap, SpoolFile& file) {
    if (const int error = file.write_out(); error != 0) {
        tell({.kind = Event::Kind::kRecordingFailed, .subject = static_cast<std::uint64_t>(tap), .error = error});
    }
}

void SpoolWriter::tell(const Event& event) {
    waiting_events_.push_back(event);
    tell_waiting();
}

void SpoolWriter::tell_waiting() {
    while (!waiting_events_.empty() && events_.put(waiting_events_.front())) waiting_events_.pop_front();
}

}  // namespace engine
