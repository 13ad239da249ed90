#pragma once

namespace engine {

// An eventfd: turns readable when rung, until it is silenced. Any thread may do either.
class Wakeup {
  public:
    Wakeup();
    ~Wakeup();
    Wakeup(const Wakeup&) = delete;
    Wakeup& operator=(const Wakeup&) = delete;

    void ring() const noexcept;
    void silence() const noexcept;
    int fd() const noexcept { return fd_; }

  private:
    int fd_;
};

}  // namespace engine
