#include "thread.hpp"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace engine {

std::thread start_thread(const char* name, std::function<void()> work) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // threads inherit it
    std::thread thread(std::move(work));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(thread.native_handle(), name);
    return thread;
}

}  // namespace engine
