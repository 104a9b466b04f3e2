// Batch verification of Ed25519 signatures with ZIP-215 acceptance, compiled once for each instruction set.
//
// Valid iff 8 (R_i + h_i A_i - s_i B) = 0 for every i. One sum answers for all:
//     8 (sum z_i R_i + sum (z_i h_i) A_i - (sum z_i s_i) B) = 0
// holds if all are valid; if one is not, it holds for at most one in 2^128 choices of its random z_i.
#include "keys.hpp"
#include "multiscalar.hpp"
#include "sha512.hpp"
#include "verifier.hpp"

namespace OCTRA_VARIANT {

constexpr u32 CHUNK = 4096;  // signatures of one sum: larger ones gain little, and this bounds memory

class Verifier {
 public:
  Verifier(u32 cached_keys, const u8 secret[32]) : hash_(secret), cache_(hash_, cached_keys) {}

  // Fills in `keys`, which are distinct, and `others`; only keys are remembered.
  void decode(Decoding* keys, u32 key_count, Decoding* others, u32 other_count);

  const KeyHash& hash() const { return hash_; }
  const Base& base() const { return base_; }

 private:
  KeyHash hash_;
  RootCache cache_;
  Base base_;
};

void Verifier::decode(Decoding* keys, u32 key_count, Decoding* others, u32 other_count) {
  Array<Decoding*> open(key_count + other_count);
  u32 open_count = 0;
  const bool is_ours = cache_.try_lock();
  for (u32 i = 0; i < key_count; i++) {
    keys[i].is_point = is_ours && cache_.find(keys[i].encoding, keys[i].x);
    if (!keys[i].is_point) open[open_count++] = &keys[i];
  }
  if (is_ours) cache_.unlock();
  const u32 missed = open_count;
  for (u32 i = 0; i < other_count; i++) open[open_count++] = &others[i];
  recover_x(&open[0], open_count);
  if (!missed || !cache_.try_lock()) return;
  u8 unused[32];  // another thread may have inserted the key meanwhile
  for (u32 i = 0; i < missed; i++)
    if (open[i]->is_point && !cache_.find(open[i]->encoding, unused)) cache_.insert(open[i]->encoding, open[i]->x);
  cache_.unlock();
}

// One chunk: the signatures that are well-formed, decoded, with their random coefficients.
class Batch {
 public:
  Batch(Verifier& verifier, const OctraSignatures& signatures, u32 first, u32 count, const u8 seed[32], u8* verdicts);

  // Writes the verdict of every well-formed signature.
  void decide() {
    if (count_) decide(0, count_, sum(0, count_));
  }

 private:
  struct Item {
    u32 index, key, commitment;  // of the signature in the call, and of two of points_
    Scalar z, zh, zs;
  };

  void decide(u32 first, u32 last, const Point& sum_of_range);
  Point sum(u32 first, u32 last) const;

  Verifier& verifier_;
  u8* verdicts_;
  KeyIndex keys_;
  Array<Addend> points_;  // distinct keys, then commitments
  Array<Item> items_;
  u32 count_ = 0;
};

Batch::Batch(Verifier& verifier, const OctraSignatures& all, u32 first, u32 count, const u8 seed[32], u8* verdicts)
    : verifier_(verifier), verdicts_(verdicts), keys_(verifier.hash(), count), points_(2 * count), items_(count) {
  const auto key = [&](u32 i) { return all.keys + 32 * std::size_t{i}; };
  const auto signature = [&](u32 i) { return all.signatures + 64 * std::size_t{i}; };

  u32 canonical = 0;
  for (u32 i = first; i < first + count; i++) {
    verdicts_[i] = 0;
    if (is_below_order(load_scalar(signature(i) + 32))) items_[canonical++] = {i, keys_.number(key(i)), 0, {}, {}, {}};
  }
  Array<Decoding> decodings(keys_.count() + canonical);
  for (u32 i = 0; i < keys_.count(); i++) decodings[i].encoding = keys_.key(i);
  for (u32 i = 0; i < canonical; i++) decodings[keys_.count() + i].encoding = signature(items_[i].index);
  verifier.decode(&decodings[0], keys_.count(), &decodings[keys_.count()], canonical);
  addends(&decodings[0], keys_.count() + canonical, &points_[0]);
  for (u32 i = 0; i < canonical; i++) {
    items_[i].commitment = keys_.count() + i;
    if (decodings[items_[i].key].is_point && decodings[items_[i].commitment].is_point) items_[count_++] = items_[i];
  }

  // Four coefficients of 128 bits from each SHA-512(seed || number).
  struct Block {
    u8 bytes[40];
  };
  Array<Block> blocks(count_ / 4 + 1);
  sha512_each(
      (count_ + 3) / 4,
      [&](u32 i) {
        const u64 number = first + i;
        std::memcpy(blocks[i].bytes, seed, 32);
        std::memcpy(blocks[i].bytes + 32, &number, 8);
        return Message{blocks[i].bytes, 40, nullptr, 0};
      },
      [&](u32 i, const u8* digest) {
        for (u32 j = 0; j < 4 && 4 * i + j < count_; j++) {
          Scalar& z = items_[4 * i + j].z;
          z = {};
          std::memcpy(z.word, digest + 16 * j, 16);
        }
      });
  if (count_ == 1) items_[0].z = {{1, 0, 0, 0}};  // alone, its own equation is the answer

  struct Head {
    u8 bytes[64];
  };
  Array<Head> heads(count_);
  sha512_each(
      count_,
      [&](u32 i) {
        const u32 at = items_[i].index;
        std::memcpy(heads[i].bytes, signature(at), 32);
        std::memcpy(heads[i].bytes + 32, key(at), 32);
        return Message{heads[i].bytes, 64, all.messages + all.offsets[at],
                       std::size_t(all.offsets[at + 1] - all.offsets[at])};
      },
      [&](u32 i, const u8* digest) {
        const Scalar z = to_montgomery(items_[i].z);
        items_[i].zh = multiply_montgomery(reduce_wide(digest), z);
        items_[i].zs = multiply_montgomery(load_scalar(signature(items_[i].index) + 32), z);
      });
}

// sum z R + sum (z h) A - (sum z s) B over [first, last); equal keys become one term.
Point Batch::sum(u32 first, u32 last) const {
  Terms terms(2 * (last - first));
  Array<u32> term_of(keys_.count(), NONE);
  Scalar zs = {};
  for (u32 i = first; i < last; i++) {
    const Item& item = items_[i];
    u32& term = term_of[item.key];
    if (term == NONE) {
      term = terms.count;
      terms.push(&points_[item.key], item.zh);
    } else {
      terms.scalars[term] = add(terms.scalars[term], item.zh);
    }
    zs = add(zs, item.zs);
  }
  terms.full = terms.count;
  for (u32 i = first; i < last; i++) terms.push(&points_[items_[i].commitment], items_[i].z);
  return sum_of_multiples(terms, verifier_.base(), negate(zs));
}

// Halves until every bad signature stands alone. The right half's sum is the difference: it costs nothing.
void Batch::decide(u32 first, u32 last, const Point& sum_of_range) {
  if (is_torsion(sum_of_range)) {
    for (u32 i = first; i < last; i++) verdicts_[items_[i].index] = 1;
    return;
  }
  if (last - first == 1) return;
  const u32 middle = first + (last - first) / 2;
  const Point left = sum(first, middle);
  decide(first, middle, left);
  decide(middle, last, subtract(sum_of_range, addend(left)));
}

OctraVerifier* create(u32 cached_keys, const u8 secret[32]) {
  try {
    return reinterpret_cast<OctraVerifier*>(new Verifier(cached_keys, secret));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void destroy(OctraVerifier* verifier) { delete reinterpret_cast<Verifier*>(verifier); }

bool verify(OctraVerifier* handle, const OctraSignatures& signatures, const u8 seed[32], u8* verdicts) {
  Verifier& verifier = *reinterpret_cast<Verifier*>(handle);
  try {
    for (u32 first = 0; first < signatures.count; first += CHUNK) {
      const u32 left = signatures.count - first;
      Batch(verifier, signatures, first, left < CHUNK ? left : CHUNK, seed, verdicts).decide();
    }
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// The encoding of sum scalars[i] points[i], for tests of the arithmetic; false if one is no point or not below L.
bool sum(OctraVerifier* handle, const u8* points, const u8* scalars, u32 count, u8 out[32]) {
  const Base& base = reinterpret_cast<Verifier*>(handle)->base();
  Array<Decoding> decodings(count);
  Array<Decoding*> all(count);
  Array<Addend> decoded(count);
  Terms terms(count);
  for (u32 i = 0; i < count; i++) {
    decodings[i].encoding = points + 32 * std::size_t{i};
    all[i] = &decodings[i];
  }
  recover_x(&all[0], count);
  addends(&decodings[0], count, &decoded[0]);
  for (u32 i = 0; i < count; i++) {
    const Scalar scalar = load_scalar(scalars + 32 * std::size_t{i});
    if (!decodings[i].is_point || !is_below_order(scalar)) return false;
    terms.push(&decoded[i], scalar);
  }
  terms.full = count;
  encode(sum_of_multiples(terms, base, Scalar{}), out);
  return true;
}

extern const OctraEd25519Variant variant;
const OctraEd25519Variant variant = {create, destroy, verify, sum};

}  // namespace OCTRA_VARIANT
