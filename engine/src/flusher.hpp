#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace engine {

// Forces what was written to recording files to the disk, in a thread of its own, so that a slow disk delays nobody.
// Asked after every turn of the writer, it makes a power cut cost little more than kill -9. (Against that no flush is
// needed: the system has the data.)
//
// It flushes file systems (syncfs), not files: one journal commit for a thousand recordings instead of a thousand.
// Limit: what other programs wrote to the same file system is flushed along.
class Flusher {
  public:
    // As long as one lives, its file system is flushed whenever that is asked for, and once more after it. Must not
    // outlive the Flusher.
    class Watch {
      public:
        Watch(Flusher& flusher, dev_t device) noexcept : flusher_(&flusher), device_(device) {}
        ~Watch();
        Watch(Watch&& other) noexcept : flusher_(std::exchange(other.flusher_, nullptr)), device_(other.device_) {}
        Watch& operator=(Watch&&) = delete;

      private:
        Flusher* flusher_;
        dev_t device_;
    };

    Flusher();
    ~Flusher();
    Flusher(const Flusher&) = delete;
    Flusher& operator=(const Flusher&) = delete;

    void stop();  // after what was asked for

    // Watches the file system that the folder is on.
    Watch watch(const std::string& folder);
    // Any thread: what has been written by now is next. Does not wait for it.
    void ask();
    std::uint64_t errors() const noexcept { return errors_.load(std::memory_order_relaxed); }

  private:
    struct FileSystem {
        int folder = -1;  // an open descriptor of a folder on it
        unsigned watches = 0;
    };

    void release(dev_t device);
    void run();
    void flush_all(std::unique_lock<std::mutex>& lock);

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<dev_t, FileSystem> file_systems_;
    bool is_asked_ = false;
    bool is_stopping_ = false;
    std::atomic<std::uint64_t> errors_{0};
    std::thread thread_;
};

}  // namespace engine
