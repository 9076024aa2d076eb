// What the kernels of element-wise loops share: types, versions for each processor, and the division among cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace jaxcnn {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;
using Result = ffi::Result<ffi::AnyBuffer>;
using Numbers = ffi::Span<const int64_t>;

// A function with this is compiled three times, and the loader takes the one that the processor runs best. What it
// inlines is compiled with it, so that loops stand in INLINE templates, and VERSIONS calls them for each type.
#define VERSIONS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define JAXCNN_EXPORT extern "C" __attribute__((visibility("default")))
#define INLINE inline __attribute__((always_inline))

enum class bfloat16 : uint16_t {};  // its bits: the upper half of a float's

INLINE float widen(float value) { return value; }

INLINE float widen(bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

INLINE void narrow(float value, float* to) { *to = value; }

// Rounds to the nearest, ties to even; a NaN stays one.
INLINE void narrow(float value, bfloat16* to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, nan = (bits >> 16) | 0x40;
  *to = static_cast<bfloat16>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

inline void require(bool fine, const char* reason) {
  if (!fine) throw std::invalid_argument(reason);
}

inline bool same(ffi::AnyBuffer::Dimensions left, ffi::AnyBuffer::Dimensions right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end());
}

// The parts of one computation: whoever is free takes the next, and the last to finish says so.
struct Parts {
  const int64_t count;
  const std::function<void(int64_t)> body;
  std::atomic<int64_t> next{0}, done{0};

  Parts(int64_t count, std::function<void(int64_t)> body) : count(count), body(std::move(body)) {}

  void work() {
    for (int64_t part; (part = next.fetch_add(1)) < count;) {
      body(part);
      done.fetch_add(1, std::memory_order_release);
    }
  }
};

// Calls `body(part)` for each of `parts`, on XLA's threads and this one if the work is worth it. It never waits for a
// thread that has not begun, so that a busy machine costs no more than its share. What a part does must not depend on
// who does it: the number of parts is the caller's, so that results have the same bits on any number of cores. `body`
// throws nothing.
template <typename Body>
void for_each_part(ffi::ThreadPool& pool, int64_t count, bool many_cores, const Body& body) {
  const auto parts = std::make_shared<Parts>(count, body);
  if (many_cores) {
    for (int64_t helper = 1; helper < std::min(pool.num_threads(), count); ++helper) {
      pool.Schedule([parts] { parts->work(); });
    }
  }
  parts->work();
  while (parts->done.load(std::memory_order_acquire) < count) std::this_thread::yield();
}

constexpr int64_t kWorthManyCores = 1 << 15;  // elements; starting the other cores takes some microseconds

// Runs a handler's body, which no exception leaves.
template <typename Body>
ffi::Error guarded(const Body& body) {
  try {
    body();
    return ffi::Error::Success();
  } catch (const std::invalid_argument& error) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, error.what());
  } catch (const std::exception& error) {
    return ffi::Error(ffi::ErrorCode::kInternal, error.what());
  }
}

}  // namespace jaxcnn
