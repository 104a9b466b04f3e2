// A heap array of plain values. std::vector would leave one copy of its code for all variants, and the linker might
// keep the one that only a newer processor can run.
#pragma once
#include <cstdlib>
#include <new>

#include "field.hpp"

namespace OCTRA_VARIANT {

template <typename T> class Array {
 public:
  explicit Array(std::size_t size) : size_(size) {
    const std::size_t bytes = (size * sizeof(T) + 63) / 64 * 64;  // aligned_alloc takes whole multiples
    items_ = static_cast<T*>(std::aligned_alloc(64, bytes ? bytes : 64));
    if (!items_) throw std::bad_alloc();
  }
  Array(std::size_t size, const T& value) : Array(size) {
    for (std::size_t i = 0; i < size; i++) items_[i] = value;
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { std::free(items_); }

  T& operator[](std::size_t i) { return items_[i]; }
  const T& operator[](std::size_t i) const { return items_[i]; }
  std::size_t size() const { return size_; }

 private:
  T* items_;
  std::size_t size_;
};

}  // namespace OCTRA_VARIANT
