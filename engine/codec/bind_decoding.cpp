#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "comfort_noise.hpp"
#include "decode_packets.hpp"

namespace codec {

using namespace nb::literals;

namespace {

void decode(const std::string& name, int rate, int channels, const OctetArray& data, const IntegerArray& start,
            const IntegerArray& length, const IntegerArray& at, const IntegerArray& gap_at, const IntegerArray& gap,
            const WritableSamples& out) {
    const nb::gil_scoped_release unlocked;
    const PacketColumns packets{span_of(start), span_of(length), span_of(at), span_of(gap_at), span_of(gap)};
    if (!packets.fits(data.size())) throw std::invalid_argument("packets: columns of one length, within the data");
    const auto decoder = make_decoder(name, rate, channels);
    if (decoder == nullptr) throw std::invalid_argument("no decoder for " + name.substr(0, 32));
    decode_packets(*decoder, rate, span_of(data), packets, span_of(out));
}

void noise(const OctetArray& payload, std::uint64_t place, const WritableSamples& out) {
    const nb::gil_scoped_release unlocked;
    comfort_noise(span_of(payload), place, span_of(out));
}

}  // namespace

void bind_decoding(nb::module_& module) {
    module.def("decode", &decode, "name"_a, "rate"_a, "channels"_a, "data"_a, "start"_a, "length"_a, "at"_a, "gap_at"_a,
               "gap"_a, "out"_a);
    module.def("comfort_noise", &noise, "payload"_a, "place"_a, "out"_a);
}

}  // namespace codec
