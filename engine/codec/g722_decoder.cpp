#include "g722_decoder.hpp"

namespace codec {
namespace {
constexpr int kBitRate = 64000;
}

std::unique_ptr<G722Decoder> G722Decoder::make() {
    g722_decode_state_t* state = g722_decode_init(nullptr, kBitRate, 0);
    return std::unique_ptr<G722Decoder>(state == nullptr ? nullptr : new G722Decoder(state));
}

std::size_t G722Decoder::decode(Octets payload, std::span<Sample> out) {
    const std::size_t octets = std::min(payload.size(), out.size() / 2);
    const int count = g722_decode(state_.get(), out.data(), payload.data(), static_cast<int>(octets));
    return count < 0 ? 0 : static_cast<std::size_t>(count);
}

}  // namespace codec
