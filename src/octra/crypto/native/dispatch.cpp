// The C interface that Python calls, and the choice of a variant that this processor can run.
#include <cstring>

#include "verifier.hpp"

#define OCTRA_EXPORT extern "C" __attribute__((visibility("default")))

namespace portable { extern const OctraEd25519Variant variant; }
#if defined(__x86_64__)
namespace avx2 { extern const OctraEd25519Variant variant; }
#endif

// The variant of this name, or null if the processor cannot run it.
OCTRA_EXPORT const OctraEd25519Variant* octra_ed25519_variant(const char* name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!std::strcmp(name, "avx2") && __builtin_cpu_supports("avx2")) return &avx2::variant;
#endif
  if (!std::strcmp(name, "portable")) return &portable::variant;
  return nullptr;
}

// A verifier that remembers up to `cached_keys` decoded keys, or null without memory. `secret` scatters them.
OCTRA_EXPORT OctraVerifier* octra_ed25519_create(const OctraEd25519Variant* variant, std::uint32_t cached_keys,
                                                 const std::uint8_t* secret) {
  return variant->create(cached_keys, secret);
}

OCTRA_EXPORT void octra_ed25519_destroy(const OctraEd25519Variant* variant, OctraVerifier* verifier) {
  variant->destroy(verifier);
}

// Writes 1 or 0 for each signature. Returns 1, or 0 without memory. Threads may share a verifier.
OCTRA_EXPORT int octra_ed25519_verify(const OctraEd25519Variant* variant, OctraVerifier* verifier,
                                      const std::uint8_t* keys, const std::uint8_t* signatures,
                                      const std::uint8_t* messages, const std::uint64_t* offsets, std::uint32_t count,
                                      const std::uint8_t* seed, std::uint8_t* verdicts) {
  return variant->verify(verifier, {keys, signatures, messages, offsets, count}, seed, verdicts);
}

// For tests: the encoding of a sum of multiples. Returns 0 if a point or a scalar is none.
OCTRA_EXPORT int octra_ed25519_sum(const OctraEd25519Variant* variant, OctraVerifier* verifier,
                                   const std::uint8_t* points, const std::uint8_t* scalars, std::uint32_t count,
                                   std::uint8_t* out) {
  return variant->sum(verifier, points, scalars, count, out);
}
