#include "flusher.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "thread.hpp"

namespace engine {

Flusher::Flusher() : thread_(start_thread("spool-flush", [this] { run(); })) {}

Flusher::Watch::~Watch() {
    if (flusher_ != nullptr) flusher_->release(device_);
}

void Flusher::stop() {
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
}

Flusher::~Flusher() {
    stop();
    for (const auto& [device, file_system] : file_systems_) close(file_system.folder);
}

Flusher::Watch Flusher::watch(const std::string& folder) {
    const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status {};
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        throw std::system_error(errno, std::generic_category(), folder);
    }
    const std::lock_guard lock(mutex_);
    FileSystem& file_system = file_systems_[status.st_dev];
    if (file_system.folder < 0) {
        file_system.folder = descriptor;
    } else {
        close(descriptor);
    }
    ++file_system.watches;
    return {*this, status.st_dev};
}

void Flusher::release(dev_t device) {
    const std::lock_guard lock(mutex_);
    --file_systems_.at(device).watches;
}

void Flusher::ask() {
    {
        const std::lock_guard lock(mutex_);
        is_asked_ = true;
    }
    changed_.notify_one();
}

void Flusher::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return is_asked_ || is_stopping_; });
        if (!std::exchange(is_asked_, false)) return;
        flush_all(lock);
    }
}

// The lock is given back while the system works. Nobody else removes entries, so they stay valid.
void Flusher::flush_all(std::unique_lock<std::mutex>& lock) {
    for (auto at = file_systems_.begin(); at != file_systems_.end();) {
        const int folder = at->second.folder;
        const bool is_last = at->second.watches == 0;
        lock.unlock();
        if (syncfs(folder) != 0) errors_.fetch_add(1, std::memory_order_relaxed);
        lock.lock();
        if (is_last && at->second.watches == 0) {
            close(folder);
            at = file_systems_.erase(at);
        } else {
            ++at;
        }
    }
}

}  // namespace engine
