#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "packet.hpp"
#include "secret.hpp"

namespace engine {

// The cryptography of one SASF file (docs/sasf.md sections 1 to 3): encryption and tags of chunks, the running hash R,
// signatures. All of it is libcrypto's.
//
// Key material lives in libcrypto's contexts, which overwrite it when they are freed. The constructor throws
// std::runtime_error; afterwards a refusal of libcrypto (no memory) makes a call return false, and the file is lost.
class ChunkSeal {
  public:
    static constexpr std::size_t kHashSize = 32;
    static constexpr std::size_t kTagSize = 16;
    static constexpr std::size_t kSignatureSize = 64;
    using Hash = std::array<std::uint8_t, kHashSize>;
    using Tag = std::array<std::uint8_t, kTagSize>;
    using Signature = std::array<std::uint8_t, kSignatureSize>;

    // `head`: prologue, header and signature. No key: suite `clear`.
    ChunkSeal(Bytes head, const std::optional<Secret>& key, const Secret& signing_key);

    bool is_encrypting() const noexcept { return cipher_ != nullptr; }

    // Make the tag of the next chunk of the file, and take the chunk into R. `header` is that of the chunk; `encrypt`
    // does so in place.
    bool encrypt(std::uint32_t number, Bytes header, std::span<std::uint8_t> body, Tag& tag) noexcept;
    bool tag_clear(Bytes header, Bytes body, Tag& tag) noexcept;

    // Over `label`, H, `header` and R as it stands, and `tail` (what a SEAL has more).
    bool sign(std::string_view label, Bytes header, Bytes tail, Signature& signature) noexcept;

    bool hash(Bytes octets, Hash& result) noexcept;

  private:
    template <auto free_function>
    struct Free {
        template <class Object>
        void operator()(Object* object) const noexcept {
            free_function(object);
        }
    };
    using Digest = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
    using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Free<EVP_CIPHER_CTX_free>>;
    using PrivateKey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

    bool hash(std::initializer_list<Bytes> parts, std::uint8_t* result) noexcept;
    bool extend(Bytes octets) noexcept;  // R

    Digest running_;  // R
    Digest scratch_;
    Cipher cipher_;
    PrivateKey signing_key_;
    Hash file_{};  // H
};

}  // namespace engine
