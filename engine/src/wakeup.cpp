#include "wakeup.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace engine {

Wakeup::Wakeup() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Wakeup::~Wakeup() { close(fd_); }

void Wakeup::ring() const noexcept {
    // Fails only when the counter is at its limit of 2^64 - 2, and then it is readable anyway.
    [[maybe_unused]] const int result = eventfd_write(fd_, 1);
}

void Wakeup::silence() const noexcept {
    eventfd_t rings = 0;
    [[maybe_unused]] const int result = eventfd_read(fd_, &rings);  // fails if nobody rang
}

}  // namespace engine
