#include <nanobind/nanobind.h>

NB_MODULE(_engine, module) { module.doc() = "Packet engine of the media server"; }
