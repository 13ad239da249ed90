#include "decoder.hpp"

#include "g711.hpp"
#include "g722_decoder.hpp"
#include "gsm_decoder.hpp"
#include "opus_decoder.hpp"
#include "pcm_decoder.hpp"
#include "truespeech_stream_decoder.hpp"

namespace codec {

bool Decoder::conceal(Octets, std::span<Sample>) { return false; }

std::unique_ptr<Decoder> make_decoder(std::string_view name, int rate, int channels) {
    if (name == "PCMU") return std::make_unique<TableDecoder>(kMuLawValues);
    if (name == "PCMA") return std::make_unique<TableDecoder>(kALawValues);
    if (name == "L16" && channels >= 1 && channels <= kMaxPcmChannels) return std::make_unique<PcmDecoder>(channels);
    if (name == "G722") return G722Decoder::make();
    if (name == "GSM") return GsmDecoder::make();
    if (name == "X-TRUESPEECH") return std::make_unique<TruespeechStreamDecoder>();
    if (name == "OPUS") return OpusStreamDecoder::make(rate);
    return nullptr;
}

}  // namespace codec
