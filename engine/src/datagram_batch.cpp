#include "datagram_batch.hpp"

#include <algorithm>

namespace engine {

DatagramBatch::DatagramBatch() noexcept : incoming_{}, outgoing_{} {
    for (std::size_t i = 0; i < kSize; ++i) {
        incoming_parts_[i] = {.iov_base = buffers_[i].data(), .iov_len = kMaxDatagram};
        incoming_[i].msg_hdr.msg_iov = &incoming_parts_[i];
        incoming_[i].msg_hdr.msg_iovlen = 1;
        incoming_[i].msg_hdr.msg_name = &sources_[i];
        incoming_[i].msg_hdr.msg_namelen = sizeof sources_[i];
        outgoing_[i].msg_hdr.msg_iov = &outgoing_parts_[i];
        outgoing_[i].msg_hdr.msg_iovlen = 1;
        outgoing_[i].msg_hdr.msg_name = &destinations_[i];
    }
}

std::size_t DatagramBatch::receive(int fd) noexcept {
    const int received = recvmmsg(fd, incoming_.data(), kSize, MSG_DONTWAIT, nullptr);
    const auto count = static_cast<std::size_t>(std::max(received, 0));
    for (std::size_t i = 0; i < count; ++i) incoming_[i].msg_hdr.msg_namelen = sizeof sources_[i];
    return count;
}

void DatagramBatch::queue(std::size_t i, const Address& to) noexcept {
    outgoing_parts_[queued_] = {.iov_base = buffers_[i].data(), .iov_len = incoming_[i].msg_len};
    outgoing_[queued_].msg_hdr.msg_namelen = to.to_sockaddr(destinations_[queued_]);
    ++queued_;
}

DatagramBatch::Sent DatagramBatch::send(int fd) noexcept {
    Sent result;
    while (result.sent + result.failed < queued_) {
        const std::size_t next = result.sent + result.failed;
        const int sent = sendmmsg(fd, &outgoing_[next], static_cast<unsigned>(queued_ - next), MSG_DONTWAIT);
        if (sent > 0) {
            result.sent += static_cast<std::size_t>(sent);
        } else {
            ++result.failed;  // the first of the rest; media is not sent twice
        }
    }
    queued_ = 0;
    return result;
}

}  // namespace engine
