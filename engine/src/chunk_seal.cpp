#include "chunk_seal.hpp"

#include <algorithm>
#include <stdexcept>

namespace engine {

namespace {

constexpr std::size_t kNonceSize = 12;

// Fetched once: every look-up by name costs as much as hashing a packet.
const EVP_MD* sha256() {
    static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return algorithm;
}

const EVP_CIPHER* aes_256_gcm() {
    static const EVP_CIPHER* const algorithm = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    return algorithm;
}

void require(bool is_done, const char* what) {
    if (!is_done) throw std::runtime_error(std::string("libcrypto refused: ") + what);
}

}  // namespace

ChunkSeal::ChunkSeal(Bytes head, const std::optional<Secret>& key, const Secret& signing_key)
    : running_(EVP_MD_CTX_new()),
      scratch_(EVP_MD_CTX_new()),
      signing_key_(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, signing_key.data(), Secret::kSize)) {
    if (head.size() < kSignatureSize) throw std::invalid_argument("the head of the file has no signature");
    require(signing_key_ != nullptr, "the signing key");
    require(running_ && scratch_ && sha256() != nullptr && EVP_DigestInit_ex2(running_.get(), sha256(), nullptr) == 1,
            "SHA-256");
    require(hash(head.first(head.size() - kSignatureSize), file_) && extend(head), "SHA-256");
    if (!key) return;
    cipher_.reset(EVP_CIPHER_CTX_new());
    require(cipher_ && aes_256_gcm() != nullptr &&
                EVP_EncryptInit_ex2(cipher_.get(), aes_256_gcm(), key->data(), nullptr, nullptr) == 1,
            "AES-256-GCM");
}

bool ChunkSeal::encrypt(std::uint32_t number, Bytes header, std::span<std::uint8_t> body, Tag& tag) noexcept {
    std::array<std::uint8_t, kNonceSize> nonce{};  // 4 zero octets, u64 number
    for (std::size_t i = 0; i < sizeof number; ++i) nonce[4 + i] = static_cast<std::uint8_t>(number >> (8 * i));
    EVP_CIPHER_CTX* const context = cipher_.get();
    int written = 0;
    return EVP_EncryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1 &&
           EVP_EncryptUpdate(context, nullptr, &written, file_.data(), static_cast<int>(file_.size())) == 1 &&
           EVP_EncryptUpdate(context, nullptr, &written, header.data(), static_cast<int>(header.size())) == 1 &&
           EVP_EncryptUpdate(context, body.data(), &written, body.data(), static_cast<int>(body.size())) == 1 &&
           EVP_EncryptFinal_ex(context, body.data() + body.size(), &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()), tag.data()) == 1 &&
           extend(header) && extend(body) && extend(tag);
}

bool ChunkSeal::tag_clear(Bytes header, Bytes body, Tag& tag) noexcept {
    Hash whole;
    if (!hash({file_, header, body}, whole.data())) return false;
    std::copy_n(whole.begin(), tag.size(), tag.begin());
    return is_encrypting() ? extend(header) && extend(body) && extend(tag) : extend(whole);
}

bool ChunkSeal::extend(Bytes octets) noexcept {
    return EVP_DigestUpdate(running_.get(), octets.data(), octets.size()) == 1;
}

bool ChunkSeal::sign(std::string_view label, Bytes header, Bytes tail, Signature& signature) noexcept {
    Hash before;  // R
    if (EVP_MD_CTX_copy_ex(scratch_.get(), running_.get()) != 1) return false;
    if (EVP_DigestFinal_ex(scratch_.get(), before.data(), nullptr) != 1) return false;
    std::vector<std::uint8_t> message(label.begin(), label.end());
    for (const Bytes part : {Bytes(file_), header, Bytes(before), tail}) {
        message.insert(message.end(), part.begin(), part.end());
    }
    const Digest signing(EVP_MD_CTX_new());
    std::size_t size = signature.size();
    return signing && EVP_DigestSignInit(signing.get(), nullptr, nullptr, nullptr, signing_key_.get()) == 1 &&
           EVP_DigestSign(signing.get(), signature.data(), &size, message.data(), message.size()) == 1;
}

bool ChunkSeal::hash(Bytes octets, Hash& result) noexcept { return hash({octets}, result.data()); }

bool ChunkSeal::hash(std::initializer_list<Bytes> parts, std::uint8_t* result) noexcept {
    if (EVP_DigestInit_ex2(scratch_.get(), sha256(), nullptr) != 1) return false;
    for (const Bytes part : parts) {
        if (EVP_DigestUpdate(scratch_.get(), part.data(), part.size()) != 1) return false;
    }
    return EVP_DigestFinal_ex(scratch_.get(), result, nullptr) == 1;
}

}  // namespace engine
