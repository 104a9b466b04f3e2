// SHAKE-128 and SHAKE-256 (FIPS 202) of many short messages at once: one stream in each 64-bit lane of a register.
#pragma once
#include "lanes.hpp"

namespace OCTRA_VARIANT {

template <int W> struct Shake {
  static constexpr int STREAMS = W / 2;
  using State = Wide<W>[25];

  // `count` messages of `message_size` < rate bytes become `size` bytes each; rate 168 is SHAKE-128, 136 SHAKE-256.
  static void streams(const std::uint8_t* messages, int message_size, int count, int rate, std::uint8_t* out,
                      std::size_t size) {
    for (int first = 0; first < count; first += STREAMS) {
      const int filled = count - first < STREAMS ? count - first : STREAMS;
      alignas(64) u64 words[25][STREAMS] = {};
      for (int stream = 0; stream < filled; stream++) {
        std::uint8_t block[168] = {};
        std::memcpy(block, messages + std::size_t(first + stream) * message_size, std::size_t(message_size));
        block[message_size] = 0x1f;
        block[rate - 1] |= 0x80;
        for (int i = 0; i < rate / 8; i++) std::memcpy(&words[i][stream], block + 8 * i, 8);
      }
      State state;
      std::memcpy(&state, words, sizeof state);
      for (std::size_t done = 0; done < size; done += std::size_t(rate)) {
        permute(state);
        std::memcpy(words, &state, sizeof state);
        const std::size_t left = size - done < std::size_t(rate) ? size - done : std::size_t(rate);
        for (int stream = 0; stream < filled; stream++) {
          u64 block[21];
          for (int i = 0; i < rate / 8; i++) block[i] = words[i][stream];
          std::memcpy(out + std::size_t(first + stream) * size + done, block, left);
        }
      }
    }
  }

 private:
  static constexpr u64 ROUNDS[24] = {
      0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
      0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
      0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
      0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
      0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};
  static constexpr int ROTATIONS[25] = {0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                                        25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14};

  template <int BITS> OCTRA_INLINE Wide<W> turned(Wide<W> value) {
    if constexpr (BITS == 0)
      return value;
    else
      return (value << BITS) | (value >> (64 - BITS));
  }
  // Keccak-f[1600]; lane (x, y) is at x + 5y.
  static void permute(State& a) {
    for (u64 constant : ROUNDS) {
      Wide<W> parity[5], b[25];
      each<5>([&](auto x) OCTRA_HOT { parity[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]; });
      each<5>([&](auto x) OCTRA_HOT {
        const Wide<W> change = parity[(x + 4) % 5] ^ turned<1>(parity[(x + 1) % 5]);
        each<5>([&](auto y) OCTRA_HOT {
          b[y + 5 * ((2 * x + 3 * y) % 5)] = turned<ROTATIONS[x + 5 * y]>(a[x + 5 * y] ^ change);
        });
      });
      each<25>([&](auto i) OCTRA_HOT {
        constexpr int row = i / 5 * 5, x = i % 5;
        a[i] = b[i] ^ (~b[row + (x + 1) % 5] & b[row + (x + 2) % 5]);
      });
      a[0] ^= constant;
    }
  }
};

}  // namespace OCTRA_VARIANT
