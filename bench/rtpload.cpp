// Two-way G.711 calls in real time through whatever relays them, and the meter at both ends.
//
//   rtpload SECONDS WARM_UP_SECONDS < CALLS
//
// CALLS, one a line: CALLER_LOCAL CALLER_REMOTE CALLER_PACKETS CALLED_LOCAL CALLED_REMOTE CALLED_PACKETS PAYLOAD_TYPE;
// local is where a side sends from and listens, remote where it sends to, both ADDRESS:PORT. A side sends one packet of
// 160 bytes every 20 ms, as many as its PACKETS say, or for SECONDS where that is 0. The result is one line of JSON.
//
// One thread, one connected socket a phone, so no two packets that are due together leave by one socket: each is a send
// of its own. What arrives is read in batches. Due times are those of the monotonic clock, spread evenly over the 20 ms
// in a shuffled order. Latency is from just before the send to the kernel's receive time stamp, so the time that a
// packet waits for this program is not in it. Packets sent in the first WARM_UP_SECONDS count for everything but
// latency.
#include <sys/epoll.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <numeric>
#include <random>
#include <vector>

#include "stream.hpp"
#include "udp.hpp"

namespace {

using bench::kHeaderBytes;
using bench::kPacketBytes;
using bench::kPayloadBytes;
using bench::kRtpVersion;
using bench::Mark;
using bench::Stream;

constexpr std::int64_t kPacketNs = 20'000'000;
constexpr std::uint8_t kSilence = 0xFF;  // of PCMU; nobody listens

constexpr unsigned kReceiveBatch = 16;
constexpr int kReadySockets = 256;
constexpr std::size_t kReceiveBytes = 2048;
constexpr std::int64_t kLookEveryNs = 200'000;   // how late a packet may leave; looking so often costs 6 % of a core
constexpr std::int64_t kStartNs = 20'000'000;    // the first packet, after all is set up
constexpr std::int64_t kLingerNs = 200'000'000;  // when nothing is missing any more: for duplicates
constexpr std::int64_t kGiveUpNs = 1'000'000'000;
constexpr int kSendTries = 50;
constexpr double kLongestSeconds = 600;
constexpr std::uint64_t kMostPackets = 100'000'000;

std::int64_t now_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// All values are kept: percentiles are exact, and a bounded run has a bounded number of them.
class Durations {
  public:
    void add(std::int64_t ns) { us_.push_back(static_cast<float>(ns) / 1e3F); }

    std::string json() {
        char text[160];
        std::snprintf(text, sizeof text, R"({"count":%zu,"p50":%.1f,"p99":%.1f,"max":%.1f})", us_.size(),
                      percentile(0.5), percentile(0.99), percentile(1.0));
        return text;
    }

  private:
    double percentile(double share) {
        if (us_.empty()) {
            return 0;
        }
        const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(us_.size())));
        const auto place = us_.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
        std::nth_element(us_.begin(), place, us_.end());
        return static_cast<double>(*place);
    }

    std::vector<float> us_;
};

struct Load {
    std::vector<bench::Socket> sockets;  // of stream i: where it is sent from; i ^ 1 is the other side of the call
    std::vector<Stream> streams;
};

std::uint32_t random_word() {
    static std::random_device dice;
    return dice();
}

Load read_calls(double seconds) {
    Load load;
    const auto whole_run = static_cast<std::uint32_t>(seconds * 1e9 / static_cast<double>(kPacketNs));
    sockaddr_in local{};
    sockaddr_in remote{};
    std::array<std::uint32_t, 2> packets{};
    unsigned payload_type = 0;
    std::uint64_t total = 0;
    using bench::operator>>;
    while (std::cin >> local >> remote >> packets[0]) {
        load.sockets.emplace_back(local, remote);
        if (!(std::cin >> local >> remote >> packets[1] >> payload_type) || payload_type > 127) {
            bench::fail("a call wants LOCAL REMOTE PACKETS of both sides, and a payload type up to 127");
        }
        load.sockets.emplace_back(local, remote);
        for (const std::uint32_t count : packets) {
            Stream& stream = load.streams.emplace_back();
            stream.first = {static_cast<std::uint16_t>(random_word()), random_word(), random_word(),
                            static_cast<std::uint8_t>(payload_type)};
            stream.to_send = count == 0 ? whole_run : count;
            stream.seen.resize(stream.to_send);
            total += stream.to_send;
        }
    }
    if (load.streams.empty() || total > kMostPackets) {
        bench::fail("wants at least one call, and no more than " + std::to_string(kMostPackets) + " packets in all");
    }
    return load;
}

class Run {
  public:
    Run(Load load, double warm_up_seconds)
        : load_(std::move(load)),
          warm_up_packets_(static_cast<std::uint32_t>(warm_up_seconds * 1e9 / static_cast<double>(kPacketNs))),
          order_(load_.streams.size()),
          poll_(::epoll_create1(EPOLL_CLOEXEC)) {
        std::iota(order_.begin(), order_.end(), 0U);
        std::shuffle(order_.begin(), order_.end(), std::mt19937(run_));
        for (const Stream& stream : load_.streams) {
            rounds_ = std::max(rounds_, stream.to_send);
        }
        for (std::uint32_t i = 0; i < load_.sockets.size(); ++i) {
            listen_on(i);
        }
        for (std::size_t i = 0; i < kReceiveBatch; ++i) {
            pieces_[i] = {buffers_[i].data(), kReceiveBytes};
        }
        packet_.fill(kSilence);
    }

    void run() {
        const std::int64_t start = now_ns(CLOCK_MONOTONIC) + kStartNs;
        const double cpu_before = cpu_seconds();
        while (!bench::stop_requested && next_ < rounds_ * std::uint64_t{order_.size()}) {
            send_due(start);
            receive();
            look_again();
        }
        seconds_ = static_cast<double>(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
        cpu_ = cpu_seconds() - cpu_before;
        linger();
    }

    void report() {
        std::printf(R"({"calls":%zu,"seconds":%.3f,"cpu_seconds":%.4f,"foreign":%u,"unsent":%u,"refused":%u,)",
                    load_.streams.size() / 2, seconds_, cpu_, foreign_, unsent_, refused_);
        std::printf(R"("latency_us":%s,"late_us":%s,"streams":[)", latency_.json().c_str(), late_.json().c_str());
        const char* separator = "";
        for (const Stream& stream : load_.streams) {
            std::printf(
                R"(%s{"sent":%u,"received":%u,"duplicates":%u,"reordered":%u,"misdelivered":%u,"header_breaks":%u})",
                separator, stream.sent, stream.received, stream.duplicates, stream.reordered, stream.misdelivered,
                stream.header_breaks);
            separator = ",";
        }
        std::printf("]}\n");
    }

  private:
    void listen_on(std::uint32_t index) const {
        const int descriptor = load_.sockets[index].descriptor();
        const int on = 1;
        ::setsockopt(descriptor, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        epoll_event interest{};
        interest.events = EPOLLIN;
        interest.data.u32 = index;
        ::epoll_ctl(poll_, EPOLL_CTL_ADD, descriptor, &interest);
    }

    // Slot k belongs to the k-th stream of the shuffled order, counted round by round.
    void send_due(std::int64_t start) {
        const std::uint64_t slots = rounds_ * std::uint64_t{order_.size()};
        const double gap_ns = static_cast<double>(kPacketNs) / static_cast<double>(order_.size());
        const std::int64_t now = now_ns(CLOCK_MONOTONIC);
        for (; next_ < slots; ++next_) {
            const std::int64_t due = start + static_cast<std::int64_t>(static_cast<double>(next_) * gap_ns);
            if (due > now) {
                return;
            }
            const std::uint32_t index = order_[next_ % order_.size()];
            Stream& stream = load_.streams[index];
            const auto number = static_cast<std::uint32_t>(next_ / order_.size());
            if (number < stream.to_send) {
                late_.add(now - due);
                send(index, stream, number);
            }
        }
    }

    void send(std::uint32_t index, Stream& stream, std::uint32_t number) {
        bench::write_header(packet_.data(), bench::advanced(stream.first, number), number == 0);
        const Mark mark{bench::kMagic, run_, index, number, now_ns(CLOCK_REALTIME)};
        std::memcpy(packet_.data() + kHeaderBytes, &mark, sizeof mark);
        for (int tries = 0; tries < kSendTries; ++tries) {
            if (::send(load_.sockets[index].descriptor(), packet_.data(), packet_.size(), 0) >= 0) {
                ++stream.sent;
                return;
            }
            refused_ += errno == ECONNREFUSED;  // of an earlier packet; the socket can send again
        }
        ++unsent_;
    }

    bool receive() {
        std::array<epoll_event, kReadySockets> ready{};
        const int count = ::epoll_wait(poll_, ready.data(), kReadySockets, 0);
        for (int i = 0; i < count; ++i) {
            receive_on(ready[static_cast<std::size_t>(i)].data.u32);
        }
        return count > 0;
    }

    void receive_on(std::uint32_t socket) {
        for (std::size_t i = 0; i < kReceiveBatch; ++i) {
            messages_[i].msg_hdr = {nullptr, 0, &pieces_[i], 1, controls_[i].data(), controls_[i].size(), 0};
        }
        const int count =
            ::recvmmsg(load_.sockets[socket].descriptor(), messages_.data(), kReceiveBatch, MSG_DONTWAIT, nullptr);
        for (int i = 0; i < count; ++i) {
            const auto slot = static_cast<std::size_t>(i);
            take(socket, buffers_[slot].data(), messages_[slot].msg_len, arrival_ns(messages_[slot].msg_hdr));
        }
    }

    static std::int64_t arrival_ns(msghdr& message) {
        for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
            if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_TIMESTAMPNS) {
                timespec stamp{};
                std::memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
                return stamp.tv_sec * 1'000'000'000LL + stamp.tv_nsec;
            }
        }
        return now_ns(CLOCK_REALTIME);
    }

    void take(std::uint32_t socket, const std::uint8_t* packet, std::size_t length, std::int64_t arrival) {
        Mark mark{};
        if (length == kPacketBytes && packet[0] == kRtpVersion) {
            std::memcpy(&mark, packet + kHeaderBytes, sizeof mark);
        }
        if (mark.magic != bench::kMagic || mark.run != run_ || mark.stream >= load_.streams.size() ||
            mark.number >= load_.streams[mark.stream].sent) {
            ++foreign_;
            return;
        }
        Stream& stream = load_.streams[mark.stream];
        if ((mark.stream ^ 1U) != socket) {
            ++stream.misdelivered;
            return;
        }
        const bool is_new = stream.take(mark.number, bench::read_header(packet));
        if (is_new && mark.number >= warm_up_packets_) {
            latency_.add(arrival - mark.sent_ns);
        }
    }

    void linger() {
        const std::int64_t end = now_ns(CLOCK_MONOTONIC);
        std::int64_t complete_since = 0;
        for (std::int64_t now = end; now < end + kGiveUpNs; now = now_ns(CLOCK_MONOTONIC)) {
            receive();
            const bool complete = std::all_of(load_.streams.begin(), load_.streams.end(),
                                              [](const Stream& stream) { return stream.received == stream.sent; });
            complete_since = complete && complete_since == 0 ? now : complete_since;
            if (complete && now - complete_since > kLingerNs) {
                return;
            }
            look_again();
        }
    }

    static void look_again() {
        const timespec pause{0, kLookEveryNs};
        ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }

    static double cpu_seconds() { return static_cast<double>(now_ns(CLOCK_PROCESS_CPUTIME_ID)) / 1e9; }

    Load load_;
    std::uint32_t run_ = random_word();  // so that packets of another run are foreign
    std::uint32_t warm_up_packets_;
    std::uint32_t rounds_ = 0;
    std::vector<std::uint32_t> order_;
    std::uint64_t next_ = 0;
    int poll_;

    Durations latency_;
    Durations late_;  // how long after its due time a packet left: high when this program is the limit
    double seconds_ = 0;
    double cpu_ = 0;
    std::uint32_t foreign_ = 0;
    std::uint32_t unsent_ = 0;
    std::uint32_t refused_ = 0;

    std::array<std::uint8_t, kPacketBytes> packet_{};
    std::array<std::array<std::uint8_t, kReceiveBytes>, kReceiveBatch> buffers_{};
    std::array<std::array<char, CMSG_SPACE(sizeof(timespec))>, kReceiveBatch> controls_{};
    std::array<iovec, kReceiveBatch> pieces_{};
    std::array<mmsghdr, kReceiveBatch> messages_{};
};

}  // namespace

int main(int count, char** arguments) {
    const double seconds = count == 3 ? std::strtod(arguments[1], nullptr) : -1;
    if (!(seconds > 0 && seconds <= kLongestSeconds)) {
        bench::fail("usage: rtpload SECONDS WARM_UP_SECONDS < CALLS, for up to 600 seconds");
    }
    bench::prepare_process();
    Run run(read_calls(seconds), std::strtod(arguments[2], nullptr));
    run.run();
    run.report();
    return 0;
}
