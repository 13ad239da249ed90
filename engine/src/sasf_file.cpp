#include "sasf_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "little_endian.hpp"

namespace engine {

namespace {

constexpr std::uint16_t kMagic = 0xC5A5;
constexpr std::string_view kTrailer = "SASFEND\n";

std::uint32_t milliseconds_of(FileTime time) noexcept {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

}  // namespace

SasfFile::SasfFile(const std::string& path, const Opening& opening, Bytes meta, Time zero)
    : zero_(zero), seal_(opening.head, opening.key, opening.signing_key) {
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
    append(opening.head);
    append(opening.keybox);
    add_record(RecordCoder::Kind::kMeta, Side::kCaller, zero, meta);
    close_chunk();
    if (error_ != 0) {
        close(fd_);
        unlink(path.c_str());
        throw std::system_error(error_, std::generic_category(), path);
    }
}

SasfFile::~SasfFile() {
    if (fd_ >= 0) close(fd_);
}

SasfFile::SasfFile(SasfFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      error_(other.error_),
      zero_(other.zero_),
      seal_(std::move(other.seal_)),
      coder_(other.coder_),
      out_(std::move(other.out_)),
      chunk_at_(other.chunk_at_),
      index_(std::move(other.index_)),
      opened_(other.opened_),
      latest_(other.latest_),
      unsigned_since_(other.unsigned_since_),
      unsigned_(other.unsigned_),
      number_(other.number_),
      records_(other.records_),
      octets_(other.octets_),
      packets_(other.packets_) {}

void SasfFile::add_packet(Side side, const RtpHeader& header, Bytes payload, Time arrival) {
    if (error_ != 0) return;
    const FileTime time = since_zero(arrival);
    open_chunk_at(time);
    coder_.add_packet(out_, side, header, payload, time);
    ++packets_[index_of(side)];
    close_if_full();
}

void SasfFile::add_record(RecordCoder::Kind kind, Side side, Time time, Bytes octets) {
    if (error_ != 0) return;
    open_chunk_at(since_zero(time));
    coder_.add_record(out_, kind, side, since_zero(time), octets);
    close_if_full();
}

FileTime SasfFile::since_zero(Time time) const noexcept {
    return time <= zero_ ? FileTime{} : std::chrono::duration_cast<FileTime>(time - zero_);
}

// A chunk that waited for the disk takes no records of a later time than its own span.
void SasfFile::open_chunk_at(FileTime time) {
    if (is_open() && time >= opened_ + kMaxChunk) close_chunk();
    if (!is_open()) {
        opened_ = time;
        out_.reserve(chunk_at_ + kUsualOctets);
        out_.resize(chunk_at_ + kHeaderSize);
    }
    latest_ = time;
}

void SasfFile::close_if_full() {
    if (out_.size() - chunk_at_ >= kMaxChunkOctets) close_chunk();
}

void SasfFile::close_due(Time now, std::chrono::milliseconds next) {
    const FileTime by = since_zero(now + next);
    const auto is_signing_due = [&] { return unsigned_ != 0 && by >= unsigned_since_ + kMaxUnsigned; };
    if (is_signing_due() || by >= opened_ + kMaxChunk) close_chunk();
    if (!is_signing_due()) return;
    add_checkpoint(since_zero(now));
    write_out();
}

void SasfFile::close_chunk() {
    if (error_ != 0 || !is_open()) return;
    index_.add(number_, milliseconds_of(opened_), octets_ + chunk_at_);
    const std::uint32_t number = number_;
    const std::span<std::uint8_t> chunk = std::span(out_).subspan(chunk_at_);
    const std::span<std::uint8_t> body = chunk.subspan(kHeaderSize);
    const Header header = make_header(ChunkType::kRecords, body.size(), milliseconds_of(opened_));
    std::copy(header.begin(), header.end(), chunk.begin());
    ChunkSeal::Tag tag;
    const bool is_sealed =
        seal_.is_encrypting() ? seal_.encrypt(number, header, body, tag) : seal_.tag_clear(header, body, tag);
    if (!is_sealed) return give_up(ENOMEM);
    append(tag);
    coder_.start_chunk();
    ++records_;
    if (!seal_.is_encrypting() && unsigned_++ == 0) unsigned_since_ = opened_;
    if (unsigned_ == kChunksPerCheckpoint) add_checkpoint(latest_);
    write_out();
}

void SasfFile::finish(Time now, std::string_view reason) {
    close_chunk();
    const std::uint32_t time_ms = milliseconds_of(since_zero(now));
    const std::uint64_t index = add_index(time_ms);
    const std::uint64_t seal = end();
    add_seal(time_ms, reason, index);
    append_little_endian(out_, seal);
    append({reinterpret_cast<const std::uint8_t*>(kTrailer.data()), kTrailer.size()});
    write_out();
}

void SasfFile::add_checkpoint(FileTime now) {
    const Header header = make_header(ChunkType::kCheckpoint, ChunkSeal::kSignatureSize, milliseconds_of(now));
    ChunkSeal::Signature signature;
    if (!seal_.sign("SASF checkpoint", header, {}, signature)) return give_up(ENOMEM);
    add_clear_chunk(header, signature);
    unsigned_ = 0;
}

std::uint64_t SasfFile::add_index(std::uint32_t time_ms) {
    const std::uint64_t at = end();
    add_clear_chunk(make_header(ChunkType::kIndex, index_.octets().size(), time_ms), index_.octets());
    return at;
}

void SasfFile::add_seal(std::uint32_t time_ms, std::string_view reason, std::uint64_t index) {
    const auto text = [](auto number) { return std::to_string(number); };
    const std::string json = R"({"state":"closed","reason":)" + std::string(reason) + R"(,"duration_ms":)" +
                             text(time_ms) + R"(,"chunks":)" + text(records_) + R"(,"torn_bytes":0,"index":)" +
                             text(index) + R"(,"packets":[)" + text(packets_[0]) + "," + text(packets_[1]) + "]}";
    std::vector<std::uint8_t> body(json.begin(), json.end());
    const Header header = make_header(ChunkType::kSeal, body.size() + ChunkSeal::kSignatureSize, time_ms);
    ChunkSeal::Hash hash;
    ChunkSeal::Signature signature;
    if (!seal_.hash(body, hash) || !seal_.sign("SASF seal", header, hash, signature)) return give_up(ENOMEM);
    body.insert(body.end(), signature.begin(), signature.end());
    add_clear_chunk(header, body);
}

// Also takes the next number.
SasfFile::Header SasfFile::make_header(ChunkType type, std::size_t body, std::uint32_t time_ms) noexcept {
    Header header{};
    store_little_endian(header.data(), kMagic);
    header[2] = static_cast<std::uint8_t>(type);
    store_little_endian(header.data() + 4, static_cast<std::uint32_t>(body));
    store_little_endian(header.data() + 8, number_++);
    store_little_endian(header.data() + 12, time_ms);
    return header;
}

void SasfFile::add_clear_chunk(const Header& header, Bytes body) {
    ChunkSeal::Tag tag;
    if (error_ != 0 || !seal_.tag_clear(header, body, tag)) return give_up(ENOMEM);
    for (const Bytes part : {Bytes(header), body, Bytes(tag)}) append(part);
}

// Behind what is closed.
void SasfFile::append(Bytes octets) {
    out_.insert(out_.end(), octets.begin(), octets.end());
    chunk_at_ = out_.size();
}

void SasfFile::write_out() noexcept {
    Bytes rest(out_);
    while (!rest.empty() && error_ == 0) {
        const ssize_t written = write(fd_, rest.data(), rest.size());
        if (written >= 0) {
            rest = rest.subspan(static_cast<std::size_t>(written));
            octets_ += static_cast<std::uint64_t>(written);
        } else if (errno != EINTR) {
            give_up(errno);
        }
    }
    out_ = {};
    chunk_at_ = 0;
}

void SasfFile::give_up(int error) noexcept {
    if (error_ == 0) error_ = error;
}

}  // namespace engine
