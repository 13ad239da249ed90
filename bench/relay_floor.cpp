// The least that a relay in user space can do: epoll, recvmmsg, sendmmsg; no parsing, no statistics, no latching, both
// ends known from the start. Its CPU time is what a media server's is compared with, in the same run on the same
// machine.
//
//   relay_floor < LEGS      a call a line: RELAY_A FAR_A RELAY_B FAR_B, each ADDRESS:PORT
//
// What FAR_A sends to RELAY_A leaves from RELAY_B towards FAR_B, and the other way round. Prints "ready" when all
// sockets are open, and runs until it is ended.
#include <sys/epoll.h>

#include <array>
#include <vector>

#include "udp.hpp"

namespace {

constexpr unsigned kBatch = 32;
constexpr int kReadySockets = 512;
constexpr std::size_t kPacketBytes = 2048;
constexpr int kWakeupMs = 1000;

// One set of buffers for all sockets: a batch is sent before the next one is received.
class Batch {
  public:
    Batch() {
        for (std::size_t i = 0; i < kBatch; ++i) {
            messages_[i].msg_hdr.msg_iov = &pieces_[i];
            messages_[i].msg_hdr.msg_iovlen = 1;
        }
    }

    void pass(int from, int to) {
        for (std::size_t i = 0; i < kBatch; ++i) {
            pieces_[i] = {buffers_[i].data(), kPacketBytes};
        }
        const int received = ::recvmmsg(from, messages_.data(), kBatch, MSG_DONTWAIT, nullptr);
        for (int i = 0; i < received; ++i) {
            pieces_[static_cast<std::size_t>(i)].iov_len = messages_[static_cast<std::size_t>(i)].msg_len;
        }
        for (int sent = 0; sent < received;) {
            const int count =
                ::sendmmsg(to, &messages_[static_cast<std::size_t>(sent)], static_cast<unsigned>(received - sent), 0);
            sent += count > 0 ? count : 1;  // one that cannot be sent is lost, as on any network
        }
    }

  private:
    std::array<std::array<char, kPacketBytes>, kBatch> buffers_{};
    std::array<iovec, kBatch> pieces_{};
    std::array<mmsghdr, kBatch> messages_{};
};

std::vector<bench::Socket> open_sockets() {
    std::vector<bench::Socket> sockets;
    sockaddr_in relay{};
    sockaddr_in far{};
    using bench::operator>>;
    while (std::cin >> relay >> far) {
        sockets.emplace_back(relay, far);
    }
    if (sockets.empty() || sockets.size() % 2 != 0) {
        bench::fail("wants RELAY_A FAR_A RELAY_B FAR_B for each call");
    }
    return sockets;
}

void run(const std::vector<bench::Socket>& sockets) {
    const int poll = ::epoll_create1(EPOLL_CLOEXEC);
    for (std::uint32_t i = 0; i < sockets.size(); ++i) {
        epoll_event interest{};
        interest.events = EPOLLIN;
        interest.data.u32 = i;
        ::epoll_ctl(poll, EPOLL_CTL_ADD, sockets[i].descriptor(), &interest);
    }
    static Batch batch;
    std::array<epoll_event, kReadySockets> ready{};
    std::cout << "ready" << std::endl;
    while (!bench::stop_requested) {
        const int count = ::epoll_wait(poll, ready.data(), kReadySockets, kWakeupMs);
        for (int i = 0; i < count; ++i) {
            const auto from = ready[static_cast<std::size_t>(i)].data.u32;
            batch.pass(sockets[from].descriptor(), sockets[from ^ 1U].descriptor());
        }
    }
    ::close(poll);
}

}  // namespace

int main() {
    bench::prepare_process();
    run(open_sockets());
    return 0;
}
