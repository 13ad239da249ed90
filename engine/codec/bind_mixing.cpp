#include <cmath>
#include <stdexcept>

#include "bindings.hpp"
#include "resample.hpp"

namespace codec {

using namespace nb::literals;

void bind_mixing(nb::module_& module) {
    nb::class_<Resampler>(module, "Resampler")
        .def(
            "__init__",
            [](Resampler* self, double ratio) {
                if (!(ratio > 1.0 / 64 && ratio < 64.0)) throw std::invalid_argument("a ratio is between 1/64 and 64");
                new (self) Resampler(ratio);
            },
            "ratio"_a)
        .def_prop_ro("reach", &Resampler::reach)
        .def(
            "add",
            [](const Resampler& self, const SampleArray& source, double position, double step,
               const WritableSamples& out) {
                if (!(std::abs(position) < 1e15)) throw std::invalid_argument("a position is a number of samples");
                if (!(step > 1.0 / 64 && step < 64.0)) throw std::invalid_argument("a step is between 1/64 and 64");
                const nb::gil_scoped_release unlocked;
                self.add(span_of(source), position, step, span_of(out));
            },
            "source"_a, "position"_a, "step"_a, "out"_a);
}

}  // namespace codec
