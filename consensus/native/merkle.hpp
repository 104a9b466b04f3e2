// `merkle_root` of octra/crypto/hash.py.
#pragma once
#include <vector>

#include "blake2b_many.hpp"
#include "msgpack.hpp"

namespace octra {

// Root over joined leaves of these sizes.
inline void merkle_root(const u8* leaves, const u32* sizes, std::size_t count, u8 out[32]) {
  std::memset(out, 0, 32);
  if (!count) return;
  std::vector<u8> level(32 * count);
  {
    Blake2bMany hashes("octra.leaf");
    for (std::size_t i = 0; i < count; leaves += sizes[i++]) hashes.add(leaves, sizes[i], &level[32 * i]);
  }
  for (; count > 1; count = (count + 1) / 2) {  // an odd last node moves up as it is
    Blake2bMany hashes("octra.node");
    for (std::size_t i = 0; i + 1 < count; i += 2) hashes.add(&level[32 * i], 64, &level[16 * i]);
    hashes.flush();
    if (count % 2) std::memmove(&level[16 * (count - 1)], &level[32 * (count - 1)], 32);
  }
  std::memcpy(out, level.data(), 32);
}

}  // namespace octra
