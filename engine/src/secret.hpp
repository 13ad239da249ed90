#pragma once

#include <openssl/crypto.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace engine {

// 32 octets of key material, overwritten when they are no longer needed. Moving leaves nothing behind.
class Secret {
  public:
    static constexpr std::size_t kSize = 32;

    explicit Secret(std::span<const std::uint8_t, kSize> octets) noexcept {
        for (std::size_t i = 0; i < kSize; ++i) octets_[i] = octets[i];
    }
    ~Secret() { wipe(); }
    Secret(Secret&& other) noexcept : octets_(other.octets_) { other.wipe(); }
    Secret& operator=(Secret&&) = delete;

    const std::uint8_t* data() const noexcept { return octets_.data(); }

  private:
    void wipe() noexcept { OPENSSL_cleanse(octets_.data(), kSize); }

    std::array<std::uint8_t, kSize> octets_;
};

}  // namespace engine
