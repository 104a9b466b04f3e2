// What each variant of the kernel offers to the dispatcher. Plain types only: variants share no code.
#pragma once
#include <cstddef>
#include <cstdint>

struct OctraEngine {
  int log_n, k, digits, base_log, messages;
  // Rows [count][k + 1][N], canonical, become the variant's own order in the transform domain; sizes stay.
  void (*load_group)(const std::uint32_t* rows, std::uint32_t* key);  // [messages][(k + 1) digits][k + 1][N]
  void (*load_packing)(const std::uint32_t* rows, std::uint32_t* key);  // one coefficient: [digits][k + 1][N]
  // Accumulators [batch][k + 1][N] turn in place by exponents [batch][lwe + 1].
  void (*rotate)(std::uint32_t* accumulators, const std::uint32_t* key, const std::uint16_t* exponents, int batch,
                 int lwe, int start);
  // Masks [k N][count] of bits become minus the packed sum of rows, [k + 1][N].
  void (*pack)(const std::uint32_t* masks, int count, const std::uint32_t* key, std::uint32_t* result);
};

struct OctraSwitch {
  int dimension, lwe, log, base_log, digits, stride;  // stride: coefficients from one table row to the next
};

struct OctraVariant {
  const char* name;
  const OctraEngine* engines;
  int engine_count;
  // Forms [batch][dimension + 1] modulo Q to LWE [batch][stride] modulo 2^16, of which the low `log` bits count.
  void (*key_switch)(const OctraSwitch* shape, const std::uint32_t* forms, const std::uint16_t* tables,
                     std::uint16_t* out, int batch);
  // Messages [count][message_size] to streams [count][size] of SHAKE-128 (rate 168) or SHAKE-256 (rate 136).
  void (*shake)(const std::uint8_t* messages, int message_size, int count, int rate, std::uint8_t* out,
                std::size_t size);
};
