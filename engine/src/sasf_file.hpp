#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chunk_index.hpp"
#include "chunk_seal.hpp"
#include "record_coder.hpp"
#include "secret.hpp"

namespace engine {

// What a SASF file begins with, made by whoever knows recipients and identities, and the keys to go on with.
struct Opening {
    std::vector<std::uint8_t> head;  // prologue, header, signature
    std::vector<std::uint8_t> keybox;
    std::optional<Secret> key;  // none: suite `clear`
    Secret signing_key;         // Ed25519 seed
};

// A SASF file (docs/sasf.md) while it is written. Records gather in one open chunk, which goes to the file in one call
// to the system when it is closed: so nothing of an encrypted recording reaches the disk in the clear. Between two
// chunks there is no memory for any, so that the chunk of the next file finds the same, still in the cache.
//
// After the first error the file is given up: further records are dropped, because what follows a torn chunk would only
// have to be found again. Nothing here forces data to the disk; see Flusher.
//
// Limits: a chunk spans kMaxChunk of time at most and is closed once it has kMaxChunkOctets. Checkpoints come behind
// kChunksPerCheckpoint chunks, or kMaxUnsigned after the first. A record's own octets are at most kMaxRecord.
class SasfFile {
  public:
    static constexpr std::chrono::milliseconds kMaxChunk{600};
    static constexpr std::chrono::milliseconds kMaxUnsigned{5000};
    static constexpr std::size_t kMaxChunkOctets = 64 << 10;
    static constexpr std::size_t kMaxRecord = 64 << 10;
    static constexpr unsigned kChunksPerCheckpoint = 8;  // 4.8 s

    // Creates the file, which must not exist, with the record META in its first chunk. Throws std::system_error and
    // leaves no file behind. `zero`: time 0, which is the header's created_ns on the engine's clock.
    SasfFile(const std::string& path, const Opening& opening, Bytes meta, Time zero);
    ~SasfFile();
    SasfFile(SasfFile&& other) noexcept;
    SasfFile& operator=(SasfFile&&) = delete;

    void add_packet(Side side, const RtpHeader& header, Bytes payload, Time arrival);
    void add_record(RecordCoder::Kind kind, Side side, Time time, Bytes octets);

    void close_chunk();
    // What has been open, or unsigned, for too long by the `next` time that this is called.
    void close_due(Time now, std::chrono::milliseconds next);
    // Closes the last chunk; index, seal and trailer follow. `reason` is JSON.
    void finish(Time now, std::string_view reason);

    int error() const noexcept { return error_; }  // errno, once the file is given up
    std::uint64_t octets() const noexcept { return octets_; }
    const std::array<std::uint64_t, 2>& packets() const noexcept { return packets_; }

  private:
    enum class ChunkType : std::uint8_t { kRecords = 1, kCheckpoint = 2, kIndex = 3, kSeal = 4 };
    static constexpr std::size_t kHeaderSize = 16;
    static constexpr std::size_t kUsualOctets = 12 << 10;  // 600 ms of G.711 of both sides, and a checkpoint
    using Header = std::array<std::uint8_t, kHeaderSize>;

    FileTime since_zero(Time time) const noexcept;
    bool is_open() const noexcept { return chunk_at_ < out_.size(); }
    void open_chunk_at(FileTime time);
    void close_if_full();
    void add_checkpoint(FileTime now);
    std::uint64_t add_index(std::uint32_t time_ms);
    void add_seal(std::uint32_t time_ms, std::string_view reason, std::uint64_t index);
    Header make_header(ChunkType type, std::size_t body, std::uint32_t time_ms) noexcept;
    void add_clear_chunk(const Header& header, Bytes body);
    void append(Bytes octets);
    std::uint64_t end() const noexcept { return octets_ + out_.size(); }
    void write_out() noexcept;
    void give_up(int error) noexcept;

    int fd_ = -1;
    int error_ = 0;
    Time zero_;
    ChunkSeal seal_;
    RecordCoder coder_;
    std::vector<std::uint8_t>
        out_;                   // on its way to the file; at its end the open chunk: room for its header, then body
    std::size_t chunk_at_ = 0;  // where that begins
    ChunkIndex index_;
    FileTime opened_{};          // of the first record in the open chunk
    FileTime latest_{};          // of the last record
    FileTime unsigned_since_{};  // of the first chunk behind the last checkpoint
    unsigned unsigned_ = 0;      // chunks behind the last checkpoint
    std::uint32_t number_ = 0;   // of the next chunk
    std::uint32_t records_ = 0;  // RECORDS chunks
    std::uint64_t octets_ = 0;
    std::array<std::uint64_t, 2> packets_{};
};

}  // namespace engine
