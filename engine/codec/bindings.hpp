// What Python sees of this library, one file a topic: each adds its part to the module.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <span>

#include "audio.hpp"

namespace codec {

namespace nb = nanobind;

using OctetArray = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using IntegerArray = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using SampleArray = nb::ndarray<const Sample, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using WritableSamples = nb::ndarray<Sample, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename Value, typename... Traits>
std::span<Value> span_of(const nb::ndarray<Value, Traits...>& array) {
    return {array.data(), array.size()};
}

void bind_decoding(nb::module_& module);
void bind_encoding(nb::module_& module);
void bind_truespeech(nb::module_& module);
void bind_mixing(nb::module_& module);

}  // namespace codec
