#include "test.hpp"

#include <cstdio>
#include <cstring>

namespace engine::test {

namespace {

Case* first_case = nullptr;
int failures = 0;

}  // namespace

Case::Case(const char* given_promise, void (*given_body)())
    : promise(given_promise), body(given_body), next(first_case) {
    first_case = this;
}

void check(bool holds, const char* condition, const char* file, int line) {
    if (holds) return;
    ++failures;
    std::printf("    %s:%d: not so: %s\n", file, line, condition);
}

}  // namespace engine::test

int main(int count, char** arguments) {
    using namespace engine::test;
    int run = 0;
    for (const Case* test = first_case; test != nullptr; test = test->next) {
        if (count > 1 && std::strstr(test->promise, arguments[1]) == nullptr) continue;
        const int before = failures;
        test->body();
        ++run;
        std::printf("%s %s\n", failures == before ? "ok  " : "FAIL", test->promise);
        std::fflush(stdout);
    }
    std::printf("%d tests, %d failed checks\n", run, failures);
    return run > 0 && failures == 0 ? 0 : 1;
}
