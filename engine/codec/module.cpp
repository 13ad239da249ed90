// mediaserverd/audio/_codec.pyi describes the same in Python's words. No Python object is kept, and the interpreter
// lock is given back while work is done.

#include "bindings.hpp"

NB_MODULE(_codec, module) {
    module.doc() = "Codecs and signal processing of recordings";
    codec::bind_decoding(module);
    codec::bind_encoding(module);
    codec::bind_truespeech(module);
    codec::bind_mixing(module);
}
