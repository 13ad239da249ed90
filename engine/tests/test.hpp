#pragma once

// The least that a test needs: TEST("a promise") { CHECK(condition); }. Every check is evaluated; the program's status
// says whether all held. An argument on the command line runs only the tests whose promise contains it.

namespace engine::test {

class Case {
  public:
    Case(const char* promise, void (*body)());

    const char* promise;
    void (*body)();
    Case* next;
};

void check(bool holds, const char* condition, const char* file, int line);

}  // namespace engine::test

#define TEST(promise) TEST_NUMBERED(promise, __COUNTER__)
#define TEST_NUMBERED(promise, number) TEST_NAMED(promise, number)
#define TEST_NAMED(promise, number)                                                     \
    static void test_body_##number();                                                   \
    static const ::engine::test::Case test_case_##number(promise, &test_body_##number); \
    static void test_body_##number()
#define CHECK(condition) ::engine::test::check(static_cast<bool>(condition), #condition, __FILE__, __LINE__)
