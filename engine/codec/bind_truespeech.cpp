#include <vector>

#include "bindings.hpp"
#include "truespeech_encoder.hpp"

namespace codec {

using namespace nb::literals;

namespace {

nb::bytes encode(truespeech::Encoder& encoder, const SampleArray& samples) {
    std::vector<std::uint8_t> frames;
    {
        const nb::gil_scoped_release unlocked;
        encoder.encode(span_of(samples), frames);
    }
    return nb::bytes(frames.data(), frames.size());
}

nb::bytes finish(truespeech::Encoder& encoder) {
    std::vector<std::uint8_t> frames;
    encoder.finish(frames);
    return nb::bytes(frames.data(), frames.size());
}

}  // namespace

void bind_truespeech(nb::module_& module) {
    nb::class_<truespeech::Encoder>(module, "TruespeechEncoder")
        .def(nb::init<>())
        .def("encode", &encode, "samples"_a)
        .def("finish", &finish);
}

}  // namespace codec
