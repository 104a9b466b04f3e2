// `merkle_root` of octra/crypto/hash.py.
#pragma once
#include <vector>

#include "blake2b.hpp"
#include "msgpack.hpp"

namespace octra {

// Root over joined leaves, each up to its end.
inline void merkle_root(const u8* leaves, const u32* ends, std::size_t count, u8 out[32]) {
  std::memset(out, 0, 32);
  if (!count) return;
  std::vector<u8> level(32 * count);
  u32 start = 0;
  for (std::size_t i = 0; i < count; i++) {
    Blake2b("octra.leaf").add(leaves + start, ends[i] - start).finish(&level[32 * i]);
    start = ends[i];
  }
  for (; count > 1; count = (count + 1) / 2) {  // an odd last node moves up as it is
    for (std::size_t i = 0; i + 1 < count; i += 2) Blake2b("octra.node").add(&level[32 * i], 64).finish(&level[16 * i]);
    if (count % 2) std::memmove(&level[16 * (count - 1)], &level[32 * (count - 1)], 32);
  }
  std::memcpy(out, level.data(), 32);
}

}  // namespace octra
