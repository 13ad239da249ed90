// The parts of spandsp that are used here, in the order in which its headers need each other.
#pragma once

// clang-format off
#include <cstdint>
#include <spandsp/telephony.h>
#include <spandsp/g722.h>
#include <spandsp/gsm0610.h>
// clang-format on
