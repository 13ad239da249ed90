#include "bindings.hpp"
#include "gsm_encoder.hpp"

namespace codec {

using namespace nb::literals;

namespace {

template <GsmPacking packing>
nb::bytes gsm(const SampleArray& samples) {
    std::vector<std::uint8_t> encoded;
    {
        const nb::gil_scoped_release unlocked;
        encoded = encode_gsm(span_of(samples), packing);
    }
    return nb::bytes(encoded.data(), encoded.size());
}

}  // namespace

void bind_encoding(nb::module_& module) {
    module.def("encode_gsm", &gsm<GsmPacking::kRtp>, "samples"_a);
    module.def("encode_gsm_pairs", &gsm<GsmPacking::kWav>, "samples"_a);
}

}  // namespace codec
