#pragma once

#include <functional>
#include <thread>

namespace engine {

// Starts a thread that has a name (15 letters) and takes no signals: those are for the interpreter's main thread.
std::thread start_thread(const char* name, std::function<void()> work);

}  // namespace engine
