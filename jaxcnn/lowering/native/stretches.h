// A map with a bias, as stretches of whole rows.
//
// A row of a map may have few channels, which would leave the processor's vectors empty: bias and sums are laid out for
// a stretch of several rows. The gradient's parts are summed in their order, whoever computed them.
#pragma once

#include "loops.h"

namespace jaxcnn {

constexpr int64_t kParts = 16, kStretch = 512;

// A map as stretches of whole rows, the last one perhaps shorter.
struct Stretches {
  int64_t elements, channels, length, count;

  explicit Stretches(const Buffer& map) {
    require(map.dimensions().size() >= 1 && map.element_count() > 0, "an empty map has no bias");
    elements = static_cast<int64_t>(map.element_count()), channels = map.dimensions().back();
    length = channels * std::max<int64_t>(1, kStretch / channels);
    count = (elements + length - 1) / length;
  }

  // Calls `body(first element, elements)` for each stretch of a part.
  template <typename Body>
  void of_part(int64_t part, const Body& body) const {
    for (int64_t i = count * part / kParts; i < count * (part + 1) / kParts; ++i)
      body(i * length, std::min(length, elements - i * length));
  }

  // Returns a bias as it lies along a stretch.
  template <typename T>
  std::vector<float> tiled(const T* bias) const {
    std::vector<float> values(length);
    for (int64_t i = 0; i < length; ++i) values[i] = widen(bias[i % channels]);
    return values;
  }

  // Adds up the sums along a stretch that each part has.
  template <typename T>
  void add_up(const std::vector<float>& sums, T* total) const {
    std::vector<double> totals(channels, 0.);
    for (size_t i = 0; i < sums.size(); ++i) totals[i % length % channels] += sums[i];
    for (int64_t c = 0; c < channels; ++c) narrow(static_cast<float>(totals[c]), total + c);
  }

  bool many_cores() const { return elements >= kWorthManyCores; }
};

// Calls `body` with a value of the type of two maps' elements and a bias's.
template <typename Body>
ffi::Error for_maps(const Buffer& map, const Buffer& other, const Buffer& bias, const Body& body) {
  return guarded([&] {
    require(same(map.dimensions(), other.dimensions()) && map.element_type() == other.element_type() &&
                map.element_type() == bias.element_type(),
            "the maps of a bias differ");
    require(bias.dimensions().size() == 1 && bias.dimensions()[0] == map.dimensions().back(),
            "a bias has one value a channel");
    if (map.element_type() == ffi::F32) return body(float{});
    require(map.element_type() == ffi::BF16, "the map is float32 or bfloat16");
    body(bfloat16{});
  });
}

}  // namespace jaxcnn
