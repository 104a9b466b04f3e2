// What the variants offer to the plain C interface.
#pragma once
#include <cstddef>
#include <cstdint>

struct OctraSignatures {
  const std::uint8_t* keys;        // 32 bytes each
  const std::uint8_t* signatures;  // 64 bytes each
  const std::uint8_t* messages;    // message i is [offsets[i], offsets[i + 1])
  const std::uint64_t* offsets;    // count + 1
  std::uint32_t count;
};

struct OctraVerifier;  // of one variant, behind a pointer

struct OctraEd25519Variant {
  OctraVerifier* (*create)(std::uint32_t cached_keys, const std::uint8_t secret[32]);
  void (*destroy)(OctraVerifier*);
  bool (*verify)(OctraVerifier*, const OctraSignatures&, const std::uint8_t seed[32], std::uint8_t* verdicts);
  bool (*sum)(OctraVerifier*, const std::uint8_t* points, const std::uint8_t* scalars, std::uint32_t count,
              std::uint8_t out[32]);
};
