// The C interface that Python calls, and the choice of a variant that this processor can run.
#include <cstring>

#include "kernel.hpp"

#define OCTRA_EXPORT extern "C" __attribute__((visibility("default")))

namespace portable { extern const OctraVariant variant; }
#if defined(__x86_64__) && !defined(OCTRA_PORTABLE_ONLY)  // a test builds one odd variant alone
#define OCTRA_X86
namespace avx2 { extern const OctraVariant variant; }
namespace avx512 { extern const OctraVariant variant; }
#endif

// The variant of this name, or null if the processor cannot run it or it was not built.
OCTRA_EXPORT const OctraVariant* octra_variant(const char* name) {
#if defined(OCTRA_X86)
  __builtin_cpu_init();
  if (!std::strcmp(name, "avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return &avx512::variant;
  if (!std::strcmp(name, "avx2") && __builtin_cpu_supports("avx2")) return &avx2::variant;
#endif
  if (!std::strcmp(name, "portable")) return &portable::variant;
  return nullptr;
}

// The engine of a shape, or null.
OCTRA_EXPORT const OctraEngine* octra_engine(const OctraVariant* variant, int log_n, int k, int digits, int base_log) {
  for (int i = 0; i < variant->engine_count; i++) {
    const OctraEngine& engine = variant->engines[i];
    if (engine.log_n == log_n && engine.k == k && engine.digits == digits && engine.base_log == base_log)
      return &engine;
  }
  return nullptr;
}

OCTRA_EXPORT void octra_load_group(const OctraEngine* engine, const std::uint32_t* rows, std::uint32_t* key) {
  engine->load_group(rows, key);
}

OCTRA_EXPORT void octra_load_packing(const OctraEngine* engine, const std::uint32_t* rows, std::uint32_t* key) {
  engine->load_packing(rows, key);
}

OCTRA_EXPORT void octra_rotate(const OctraEngine* engine, std::uint32_t* accumulators, const std::uint32_t* key,
                               const std::uint16_t* exponents, int batch, int lwe, int start) {
  engine->rotate(accumulators, key, exponents, batch, lwe, start);
}

OCTRA_EXPORT void octra_pack(const OctraEngine* engine, const std::uint32_t* masks, int count,
                             const std::uint32_t* key, std::uint32_t* result) {
  engine->pack(masks, count, key, result);
}

OCTRA_EXPORT void octra_key_switch(const OctraVariant* variant, const OctraSwitch* shape, const std::uint32_t* forms,
                                   const std::uint16_t* tables, std::uint16_t* out, int batch) {
  variant->key_switch(shape, forms, tables, out, batch);
}

OCTRA_EXPORT void octra_shake(const OctraVariant* variant, const std::uint8_t* messages, int message_size, int count,
                              int rate, std::uint8_t* out, std::size_t size) {
  variant->shake(messages, message_size, count, rate, out, size);
}
