// SHA-512 (FIPS 180-4) of several messages side by side, one in each lane of a vector.
#pragma once
#include "field.hpp"

namespace OCTRA_VARIANT {

// What is hashed: head || body.
struct Message {
  const u8* head;
  std::size_t head_size;
  const u8* body;
  std::size_t body_size;

  std::size_t size() const { return head_size + body_size; }
  std::size_t blocks() const { return (size() + 17 + 127) / 128; }

  // Bytes [128 index, 128 index + 128) of the padded message, as it lies in memory.
  void block(std::size_t index, u64 words[16]) const {
    u8* const out = reinterpret_cast<u8*>(words);
    const std::size_t first = 128 * index;
    std::memset(out, 0, 128);
    copy(head, head_size, 0, first, out);
    copy(body, body_size, head_size, first, out);
    if (size() >= first && size() < first + 128) out[size() - first] = 0x80;
    if (index + 1 == blocks())
      for (int i = 0; i < 8; i++) out[127 - i] = u8(u64(size()) * 8 >> 8 * i);  // 2^61 bytes do not fit a machine
  }

 private:
  static void copy(const u8* piece, std::size_t size, std::size_t at, std::size_t first, u8* out) {
    const std::size_t begin = at > first ? at : first, end = at + size < first + 128 ? at + size : first + 128;
    if (begin < end) std::memcpy(out + (begin - first), piece + (begin - at), end - begin);
  }
};

alignas(64) constexpr u64 ROUND_CONSTANTS[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc, 0x3956c25bf348b538,
    0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118, 0xd807aa98a3030242, 0x12835b0145706fbe,
    0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2, 0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235,
    0xc19bf174cf692694, 0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5, 0x983e5152ee66dfab,
    0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4, 0xc6e00bf33da88fc2, 0xd5a79147930aa725,
    0x06ca6351e003826f, 0x142929670a0e6e70, 0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df, 0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30, 0xd192e819d6ef5218,
    0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8, 0x19a4c116b8d2d0c8, 0x1e376c085141ab53,
    0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8, 0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3, 0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b, 0xca273eceea26619c,
    0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178, 0x06f067aa72176fba, 0x0a637dc5a2c898a6,
    0x113f9804bef90dae, 0x1b710b35131c471b, 0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c, 0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

template <int LANES> struct Sha512 {
  typedef u64 Word __attribute__((vector_size(8 * LANES)));

  static OCTRA_INLINE Word rotate(Word x, int count) { return (x >> count) | (x << (64 - count)); }

  static void compress(Word state[8], Word w[16]) {
    Word a = state[0], b = state[1], c = state[2], d = state[3];
    Word e = state[4], f = state[5], g = state[6], h = state[7];
    for (int start = 0; start < 80; start += 16) {
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) {
        if (start) {
          const Word before = w[(i + 1) & 15], last = w[(i + 14) & 15];
          w[i] += (rotate(before, 1) ^ rotate(before, 8) ^ (before >> 7)) + w[(i + 9) & 15] +
                  (rotate(last, 19) ^ rotate(last, 61) ^ (last >> 6));
        }
        const Word t1 = h + (rotate(e, 14) ^ rotate(e, 18) ^ rotate(e, 41)) + (g ^ (e & (f ^ g))) +
                        ROUND_CONSTANTS[start + i] + w[i];
        const Word t2 = (rotate(a, 28) ^ rotate(a, 34) ^ rotate(a, 39)) + ((a & b) | (c & (a | b)));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
      }
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }

  static void hash(const Message* messages, u8 (*digests)[64]) {
    static constexpr u64 start[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                     0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
    std::size_t blocks = 0;
    for (int lane = 0; lane < LANES; lane++)
      if (messages[lane].blocks() > blocks) blocks = messages[lane].blocks();
    Word state[8];
    for (int i = 0; i < 8; i++) state[i] = Word{} + start[i];
    u64 words[16][LANES] = {}, result[8][LANES];
    for (std::size_t index = 0; index < blocks; index++) {
      for (int lane = 0; lane < LANES; lane++) {
        if (index >= messages[lane].blocks()) continue;  // this lane is done; what it computes is not read
        u64 block[16];
        messages[lane].block(index, block);
        for (int i = 0; i < 16; i++) words[i][lane] = __builtin_bswap64(block[i]);
      }
      Word w[16];
      std::memcpy(w, words, sizeof w);
      compress(state, w);
      std::memcpy(result, state, sizeof result);
      for (int lane = 0; lane < LANES; lane++)
        if (index + 1 == messages[lane].blocks())
          for (int i = 0; i < 8; i++) {
            const u64 word = __builtin_bswap64(result[i][lane]);
            std::memcpy(digests[lane] + 8 * i, &word, 8);
          }
    }
  }
};

// Calls message(i) and use(i, digest) for each i below `count`; `message` may be asked twice for the same i.
template <typename MessageOf, typename Use> void sha512_each(u32 count, MessageOf message, Use use) {
  u8 digests[HASH_LANES][64];
  u32 i = 0;
  if constexpr (HASH_LANES > 1)
    for (; i + HASH_LANES <= count; i += HASH_LANES) {
      Message messages[HASH_LANES];
      for (int lane = 0; lane < HASH_LANES; lane++) messages[lane] = message(i + lane);
      Sha512<HASH_LANES>::hash(messages, digests);
      for (int lane = 0; lane < HASH_LANES; lane++) use(i + lane, digests[lane]);
    }
  for (; i < count; i++) {
    const Message one = message(i);
    Sha512<1>::hash(&one, digests);
    use(i, digests[0]);
  }
}

}  // namespace OCTRA_VARIANT
