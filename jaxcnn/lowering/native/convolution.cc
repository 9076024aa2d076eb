// Convolutions of XLA, run by oneDNN.
//
// An XLA convolution is one of three things in oneDNN's words: a forward convolution, its input gradient (the map is
// dilated), or its kernel gradient (the "kernel" is a map). Python says which (`description`, below) and where the axes
// of each buffer lie; shapes come from the buffers. All is checked here again: the handler gets raw pointers.
//
// A plan (primitive, layouts, reorders) is made once for each description and set of shapes, and kept in a bounded
// cache. Every scratch byte comes from one arena, which only the holder of the process's lock touches: oneDNN already
// uses every core for one convolution, so running two at once would gain nothing.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "amx.h"
#include "amx_forward.h"
#include "amx_kernel_gradient.h"
#include "common.h"
#include "dnnl.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using dnnl::memory;

namespace {

using Dims = memory::dims;

constexpr int64_t kMost = (int64_t{1} << 31) - 1;  // of any number, and of an array's bytes: oneDNN counts in 32 bits

[[noreturn]] void refuse(const std::string& reason) { throw std::invalid_argument(reason); }

void require(bool fine, const char* reason) {
  if (!fine) refuse(reason);
}

// One array as it lies in memory: densely, the last axis fastest.
struct Array {
  memory::data_type type;
  Dims shape;
  void* data = nullptr;

  Dims strides() const {
    Dims strides(shape.size());
    int64_t stride = 1;
    for (size_t axis = shape.size(); axis-- > 0; stride *= shape[axis]) strides[axis] = stride;
    return strides;
  }
};

enum Kind : int64_t { kForward = 0, kInputGradient = 1, kKernelGradient = 2 };

// The numbers that Python sends: [kind, rank, groups, loops, native,
//   lhs axes (batch, features, spatial...), rhs axes (out, in, spatial...), out axes (batch, features, spatial...),
//   strides, dilation, padding low, padding high], of the forward convolution that this one is, or is a gradient of.
// `groups` are oneDNN's; `loops` independent convolutions split lhs by its batch (a kernel gradient: by its features)
// and rhs and out by their output features. `native` asks for float32 products as the processor has them.
struct Description {
  int64_t kind, rank, groups, loops, native;
  std::vector<int64_t> lhs, rhs, out;
  Dims strides, dilation, low, high;

  explicit Description(ffi::Span<const int64_t> numbers) {
    require(numbers.size() >= 5, "the description of a convolution has too few numbers");
    const int64_t* next = numbers.begin();
    kind = *next++, rank = *next++, groups = *next++, loops = *next++, native = *next++;
    require(kind >= kForward && kind <= kKernelGradient, "unknown kind of convolution");
    require(rank >= 1 && rank <= 3, "a convolution has 1 to 3 spatial axes");
    require(groups >= 1 && loops >= 1 && groups <= kMost && loops <= kMost, "groups or loops out of range");
    require(static_cast<int64_t>(numbers.size()) == 5 + 3 * (rank + 2) + 4 * rank,
            "the description of a convolution has the wrong length");
    auto take = [&next](int64_t count) {
      std::vector<int64_t> taken(next, next + count);
      next += count;
      return taken;
    };
    for (auto* axes : {&lhs, &rhs, &out}) {
      *axes = take(rank + 2);
      auto sorted = *axes;
      std::sort(sorted.begin(), sorted.end());
      for (int64_t axis = 0; axis < rank + 2; ++axis)
        require(sorted[axis] == axis, "the axes of a convolution's array are not a permutation");
    }
    strides = take(rank), dilation = take(rank), low = take(rank), high = take(rank);
    for (int64_t axis = 0; axis < rank; ++axis) {
      require(strides[axis] >= 1 && dilation[axis] >= 1 && low[axis] >= 0 && strides[axis] <= kMost &&
                  dilation[axis] <= kMost && low[axis] <= kMost && high[axis] >= -kMost && high[axis] <= kMost,
              "strides, dilation or padding out of range");
    }
  }
};

// A view of a buffer for one loop: dims in oneDNN's order (groups split off for weights), strides, bytes between loops.
struct View {
  memory::data_type type;
  Dims dims, strides;
  int64_t loop_bytes = 0;

  memory::desc desc() const { return memory::desc(dims, type, strides); }

  // Whether the elements lie as in `other`: strides of axes of one element do not matter.
  bool lies_as(const memory::desc& other) const {
    if (other.get_inner_nblks() != 0 || other.get_dims() != dims || other.get_data_type() != type) return false;
    const Dims theirs = other.get_strides();
    for (size_t axis = 0; axis < dims.size(); ++axis)
      if (dims[axis] > 1 && strides[axis] != theirs[axis]) return false;
    return true;
  }
};

void divide(int64_t& dim, int64_t parts, const char* reason) {
  require(dim % parts == 0, reason);
  dim /= parts;
}

// Views a map as (batch, channels, spatial...): `batch` and `channels` are positions in the buffer.
View view_map(const Array& array, const std::vector<int64_t>& axes, bool swap) {
  View view{array.type, {}, {}};
  const Dims strides = array.strides();
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = axes[i < 2 && swap ? 1 - i : i];
    view.dims.push_back(array.shape[axis]);
    view.strides.push_back(strides[axis]);
  }
  return view;
}

// Splits axis `axis` of a view into (parts, rest), and keeps one part: the loops of a convolution.
void split_loops(View& view, size_t axis, int64_t loops) {
  divide(view.dims[axis], loops, "an axis is not divisible by the number of convolutions");
  view.loop_bytes = view.dims[axis] * view.strides[axis] * static_cast<int64_t>(memory::data_type_size(view.type));
}

// Views weights as (groups?, out, in, spatial...), where the group is the outer part of axis `grouped` (0 out, 1 in).
View group_weights(View view, size_t grouped, int64_t groups) {
  if (groups == 1) return view;
  divide(view.dims[grouped], groups, "output features are not divisible by groups");
  view.strides.insert(view.strides.begin(), view.dims[grouped] * view.strides[grouped]);
  view.dims.insert(view.dims.begin(), groups);
  return view;
}

memory::format_tag channels_last(int64_t rank) {
  using tag = memory::format_tag;
  return rank == 1 ? tag::nwc : rank == 2 ? tag::nhwc : tag::ndhwc;
}

memory::format_tag blocked(int64_t rank) {
  using tag = memory::format_tag;
  return rank == 1 ? tag::nCw16c : rank == 2 ? tag::nChw16c : tag::nCdhw16c;
}

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

// One argument of the primitive: as the caller holds it, as the primitive wants it, and the way between.
struct Argument {
  int name;
  View view;
  memory::desc wanted{};
  dnnl::reorder reorder{};
  bool moved = false;
  memory::desc reorder_scratch{};
  size_t arena_offset = 0, reorder_scratch_offset = 0;
};

struct Plan {
  dnnl::primitive primitive;
  std::string implementation;
  Argument lhs, rhs, out;
  int64_t loops = 1;
  memory::desc scratch;
  size_t scratch_offset = 0, arena_bytes = 0;
  // Our own kernels, which run in place of the primitive; on float32, unless a number is not finite.
  std::unique_ptr<jaxcnn::Forward> forward;
  std::unique_ptr<jaxcnn::KernelGradient> kernel_gradient;
  size_t ours_offset = 0, sums_offset = 0;

  size_t take(size_t bytes) {
    const size_t offset = arena_bytes;
    arena_bytes += (bytes + 63) / 64 * 64;
    return offset;
  }

  void place(Argument& argument, const memory::desc& wanted, bool output) {
    argument.wanted = wanted;
    argument.moved = !argument.view.lies_as(wanted);
    if (!argument.moved) return;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const memory::desc held = argument.view.desc();
    const dnnl::reorder::primitive_desc move(engine(), output ? wanted : held, engine(), output ? held : wanted, attributes);
    argument.reorder = dnnl::reorder(move);
    argument.arena_offset = take(wanted.get_size());
    argument.reorder_scratch = move.scratchpad_desc();
    argument.reorder_scratch_offset = take(argument.reorder_scratch.get_size());
  }
};

// Plans our own kernel where it takes a convolution and is faster than oneDNN's: two spatial axes, channels last, whole
// tiles, images that fill their strips. Returns whether oneDNN's primitive is needed no more.
bool plan_ours(Plan& plan, const Description& d, const View& src, const View& weights, const View& dst) {
  const auto type = src.type;
  const bool single = type == memory::data_type::f32;
  const auto lies_last = [&](const View& view) {
    return view.lies_as(memory::desc(view.dims, view.type, memory::format_tag::nhwc));
  };
  if (d.rank != 2 || d.groups != 1 || d.loops != 1 || d.native || !jaxcnn::have_amx()) return false;
  if ((!single && type != memory::data_type::bf16) || !lies_last(src) || !lies_last(dst)) return false;
  const int64_t out = weights.dims[0], in = weights.dims[1], rows = weights.dims[2], columns = weights.dims[3];
  const auto filled = [&](const auto& ours) { return ours.strips * ours.side_by_side * 2 <= src.dims[0] * 3; };
  if (single && (weights.type != type || dst.type != type || rows * columns == 1 || rows * columns * in < 512)) return false;
  if (d.kind == kForward && weights.type == type && in % 32 == 0 && out % 16 == 0 && (single || dst.dims[3] < 8)) {
    const jaxcnn::Forward ours({src.dims[0], src.dims[2], src.dims[3], in, dst.dims[2], dst.dims[3], out, rows, columns,
                                d.low[0], d.low[1], d.strides[0], d.strides[1], d.dilation[0], d.dilation[1],
                                weights.strides[0], weights.strides[1], weights.strides[2], weights.strides[3], single,
                                dst.type == memory::data_type::f32});
    if (!filled(ours)) return false;
    plan.forward = std::make_unique<jaxcnn::Forward>(ours);
    plan.ours_offset = plan.take(ours.scratch_bytes());
    plan.implementation = "jaxcnn_forward:avx512_core_amx";
    return !single;
  }
  const View dense{weights.type, weights.dims, {1, out, columns * in * out, in * out}};
  // Laying out costs what is proportional to the map, so that ours wins where there is much to multiply: on small maps
  // in bfloat16, and between many channels in float32.
  const bool pays = rows * columns > 1 && (single ? in * out >= 128 * 256 : dst.dims[3] <= 16 || in * out >= 64 * 128);
  if (d.kind == kKernelGradient && pays && dst.type == type && in % 16 == 0 && out % 16 == 0 &&
      d.strides == Dims{1, 1} && d.dilation == Dims{1, 1} && weights.lies_as(dense.desc())) {
    const jaxcnn::KernelGradient ours({src.dims[0], src.dims[2], src.dims[3], in, dst.dims[2], dst.dims[3], out, rows,
                                       columns, d.low[0], d.low[1], single});
    if (!filled(ours)) return false;
    plan.kernel_gradient = std::make_unique<jaxcnn::KernelGradient>(ours);
    plan.ours_offset = plan.take(ours.scratch_bytes());
    plan.sums_offset = plan.take(4 * ours.sums_count());
    plan.implementation = "jaxcnn_kernel_gradient:avx512_core_amx";
    return !single;
  }
  return false;
}

std::shared_ptr<Plan> make_plan(const Description& d, const Array& lhs, const Array& rhs, const Array& out) {
  for (const Array* array : {&lhs, &rhs, &out}) {
    require(static_cast<int64_t>(array->shape.size()) == d.rank + 2, "an array of a convolution has the wrong rank");
    int64_t most = kMost / static_cast<int64_t>(memory::data_type_size(array->type));
    for (int64_t size : array->shape) {
      require(size >= 1, "an array of a convolution is empty");
      require(size <= most, "an array of a convolution has 2 GB or more");
      most /= size;
    }
  }
  auto plan = std::make_shared<Plan>();
  plan->loops = d.loops;
  // Which of the forward convolution's arrays (src, weights, dst) each buffer is. The axes come in XLA's words: for a
  // kernel gradient XLA's batch is the convolution's channel axis, and the reverse; for an input gradient XLA's output
  // features are the convolution's inputs.
  const bool kernel_gradient = d.kind == kKernelGradient, input_gradient = d.kind == kInputGradient;
  View a = view_map(lhs, d.lhs, kernel_gradient);
  View b = view_map(rhs, d.rhs, kernel_gradient || input_gradient);
  View c = view_map(out, d.out, kernel_gradient);
  split_loops(a, 0, d.loops);
  split_loops(b, kernel_gradient ? 1 : 0, d.loops);
  split_loops(c, kernel_gradient ? 0 : 1, d.loops);
  require(d.loops == 1 || (d.groups == 1 && !input_gradient), "loops and groups do not mix");
  if (kernel_gradient)
    c = group_weights(c, 0, d.groups);
  else
    b = group_weights(b, input_gradient ? 1 : 0, d.groups);
  const View& src = input_gradient ? c : a;
  const View& weights = kernel_gradient ? c : b;
  const View& dst = kernel_gradient ? b : input_gradient ? a : c;
  const size_t grouped = d.groups > 1 ? 1 : 0;
  require(src.dims[0] == dst.dims[0], "batches differ");
  require(src.dims[1] == d.groups * weights.dims[grouped + 1], "input features differ");
  require(dst.dims[1] == d.groups * weights.dims[grouped], "output features differ");
  Dims dilates = d.dilation;
  for (int64_t axis = 0; axis < d.rank; ++axis) {
    dilates[axis] -= 1;  // oneDNN counts the holes
    const int64_t window = (weights.dims[grouped + 2 + axis] - 1) * d.dilation[axis] + 1;
    const int64_t room = src.dims[2 + axis] + d.low[axis] + d.high[axis] - window;
    require(room >= 0 && room / d.strides[axis] + 1 == dst.dims[2 + axis], "sizes, strides and padding do not fit");
  }
  if (plan_ours(*plan, d, src, weights, dst)) return plan;
  // Few outputs leave the vectors of channels-last kernels empty: blocks of 16 channels, and moving to them, take less.
  const bool few = d.kind == kForward && d.groups == 1 && dst.dims[1] < 16 && src.dims[1] >= 8;
  const memory::format_tag last = few ? blocked(d.rank) : channels_last(d.rank);
  const memory::desc src_desc(src.dims, src.type, last), dst_desc(dst.dims, dst.type, last);
  const memory::desc weights_desc(weights.dims, weights.type, memory::format_tag::any);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto algorithm = dnnl::algorithm::convolution_direct;
  plan->lhs = {kernel_gradient ? DNNL_ARG_SRC : input_gradient ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, a};
  plan->rhs = {kernel_gradient ? DNNL_ARG_DIFF_DST : DNNL_ARG_WEIGHTS, b};
  plan->out = {kernel_gradient ? DNNL_ARG_DIFF_WEIGHTS : input_gradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, c};
  auto finish = [&plan](const auto& chosen, const memory::desc& l, const memory::desc& r, const memory::desc& o,
                        dnnl::primitive primitive) {
    plan->primitive = std::move(primitive);
    if (plan->implementation.empty()) plan->implementation = chosen.impl_info_str();
    plan->place(plan->lhs, l, false);
    plan->place(plan->rhs, r, false);
    plan->place(plan->out, o, true);
    plan->scratch = chosen.scratchpad_desc();
    plan->scratch_offset = plan->take(plan->scratch.get_size());
  };
  // Gradients are asked for with the forward convolution as a hint: its types are those of the gradient's arrays.
  auto forward = [&](const memory::desc& result) {
    return dnnl::convolution_forward::primitive_desc(
        engine(), input_gradient || kernel_gradient ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference,
        algorithm, src_desc, weights_desc, result, d.strides, dilates, d.low, d.high, attributes);
  };
  if (d.kind == kForward) {
    const auto chosen = forward(dst_desc);
    finish(chosen, chosen.src_desc(), chosen.weights_desc(), chosen.dst_desc(), dnnl::convolution_forward(chosen));
  } else if (input_gradient) {
    const memory::desc same_type(src.dims, dst.type, last);
    const auto hint = dnnl::convolution_forward::primitive_desc(
        engine(), dnnl::prop_kind::forward_training, algorithm, same_type, weights_desc, dst_desc, d.strides, dilates,
        d.low, d.high, attributes);
    const dnnl::convolution_backward_data::primitive_desc chosen(engine(), algorithm, src_desc, weights_desc, dst_desc,
                                                                 d.strides, dilates, d.low, d.high, hint, attributes);
    finish(chosen, chosen.diff_dst_desc(), chosen.weights_desc(), chosen.diff_src_desc(),
           dnnl::convolution_backward_data(chosen));
  } else {
    const memory::desc same_type(weights.dims, src.type, memory::format_tag::any);
    const auto hint = dnnl::convolution_forward::primitive_desc(
        engine(), dnnl::prop_kind::forward_training, algorithm, src_desc, same_type, dst_desc, d.strides, dilates,
        d.low, d.high, attributes);
    const dnnl::convolution_backward_weights::primitive_desc chosen(
        engine(), algorithm, src_desc, weights_desc, dst_desc, d.strides, dilates, d.low, d.high, hint, attributes);
    finish(chosen, chosen.src_desc(), chosen.diff_dst_desc(), chosen.diff_weights_desc(),
           dnnl::convolution_backward_weights(chosen));
  }
  return plan;
}

// Plans by description and shapes, the most recently used first. Guarded by the process's lock.
class Plans {
 public:
  std::shared_ptr<Plan> get(ffi::Span<const int64_t> numbers, const Array& lhs, const Array& rhs, const Array& out) {
    std::string key;
    auto add = [&key](const void* bytes, size_t count) { key.append(static_cast<const char*>(bytes), count); };
    const size_t length = numbers.size();
    add(&length, sizeof length);
    add(numbers.begin(), length * sizeof(int64_t));
    for (const Array* array : {&lhs, &rhs, &out}) {
      const int64_t type = static_cast<int64_t>(array->type), rank = static_cast<int64_t>(array->shape.size());
      add(&type, sizeof type);
      add(&rank, sizeof rank);
      add(array->shape.data(), array->shape.size() * sizeof(int64_t));
    }
    const auto found = places_.find(key);
    if (found != places_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return found->second->second;
    }
    auto plan = make_plan(Description(numbers), lhs, rhs, out);
    recent_.emplace_front(key, plan);
    places_[key] = recent_.begin();
    if (recent_.size() > kKept) {
      places_.erase(recent_.back().first);
      recent_.pop_back();
    }
    return plan;
  }

 private:
  static constexpr size_t kKept = 512;
  std::list<std::pair<std::string, std::shared_ptr<Plan>>> recent_;
  std::unordered_map<std::string, decltype(recent_)::iterator> places_;
};

Plans& plans() {
  static Plans all;
  return all;
}

// Scratch memory for the holder of the lock; it grows to the largest plan and stays.
char* arena_of(size_t bytes) {
  static std::unique_ptr<char, decltype(&std::free)> arena(nullptr, &std::free);
  static size_t size = 0;
  if (bytes > size) {
    arena.reset();
    size = 0;
    arena.reset(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
    if (!arena) throw std::bad_alloc();
    size = bytes;
  }
  return arena.get();
}

void run(const Plan& plan, const Array& lhs, const Array& rhs, const Array& out) {
  static dnnl::stream stream(engine());
  char* arena = arena_of(plan.arena_bytes);
  char* ours = arena + plan.ours_offset;
  if (plan.forward && plan.forward->run(lhs.data, rhs.data, out.data, ours)) return;
  if (plan.kernel_gradient) {
    const bool in_place = out.type == memory::data_type::f32;
    float* sums = reinterpret_cast<float*>(in_place ? out.data : arena + plan.sums_offset);
    if (plan.kernel_gradient->run(lhs.data, rhs.data, sums, ours)) {
      if (!in_place)
        jaxcnn::round_to_bfloat16(sums, static_cast<uint16_t*>(out.data), plan.kernel_gradient->sums_count());
      return;
    }
  }
  auto bytes = [](const Array& array, const Argument& argument, int64_t loop) {
    return static_cast<char*>(array.data) + loop * argument.view.loop_bytes;
  };
  auto reorder = [&](const Argument& argument, const memory& from, const memory& to) {
    const memory scratch(argument.reorder_scratch, engine(), arena + argument.reorder_scratch_offset);
    argument.reorder.execute(stream, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, scratch}});
  };
  for (int64_t loop = 0; loop < plan.loops; ++loop) {
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SCRATCHPAD, memory(plan.scratch, engine(), arena + plan.scratch_offset)}};
    auto bring = [&](const Argument& argument, const Array& array) {
      if (!argument.moved) {
        arguments[argument.name] = memory(argument.wanted, engine(), bytes(array, argument, loop));
        return;
      }
      arguments[argument.name] = memory(argument.wanted, engine(), arena + argument.arena_offset);
      reorder(argument, memory(argument.view.desc(), engine(), bytes(array, argument, loop)), arguments[argument.name]);
    };
    bring(plan.lhs, lhs);
    bring(plan.rhs, rhs);
    memory& result = arguments[plan.out.name] =
        memory(plan.out.wanted, engine(), plan.out.moved ? arena + plan.out.arena_offset : bytes(out, plan.out, loop));
    plan.primitive.execute(stream, arguments);
    if (plan.out.moved)
      reorder(plan.out, result, memory(plan.out.view.desc(), engine(), bytes(out, plan.out, loop)));
  }
  stream.wait();
}

memory::data_type type_of(ffi::DataType type) {
  switch (type) {
    case ffi::DataType::F32: return memory::data_type::f32;
    case ffi::DataType::BF16: return memory::data_type::bf16;
    case ffi::DataType::F16: return memory::data_type::f16;
    default: refuse("a convolution of this element type is not oneDNN's");
  }
}

Array array_of(const ffi::AnyBuffer& buffer) {
  const auto shape = buffer.dimensions();
  return {type_of(buffer.element_type()), Dims(shape.begin(), shape.end()), buffer.untyped_data()};
}

ffi::Error convolution(ffi::AnyBuffer lhs, ffi::AnyBuffer rhs, ffi::Result<ffi::AnyBuffer> out,
                       ffi::Span<const int64_t> description) {
  try {
    const Array a = array_of(lhs), b = array_of(rhs), c = array_of(*out);
    const std::lock_guard<std::mutex> alone(jaxcnn_lock());
    run(*plans().get(description, a, b, c), a, b, c);
    return ffi::Error::Success();
  } catch (const std::invalid_argument& error) {
    return ffi::Error::InvalidArgument(std::string("jaxcnn's convolution: ") + error.what());
  } catch (const std::exception& error) {
    return ffi::Error::Internal(std::string("jaxcnn's convolution, oneDNN: ") + error.what());
  } catch (...) {
    return ffi::Error::Internal("jaxcnn's convolution: unknown exception");
  }
}

}  // namespace

#define JAXCNN_EXPORT extern "C" __attribute__((visibility("default")))

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_convolution(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_convolution, convolution,
                              ffi::Ffi::Bind()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<ffi::Span<const int64_t>>("description"));

// Asks, when a program is lowered, whether the handler will take a convolution: 1 and oneDNN's implementation in
// `answer`, or 0 and the reason. `types` and `shapes` are those of lhs, rhs, out, one after another.
JAXCNN_EXPORT int jaxcnn_convolution_plan(const int64_t* description, int64_t length, const int64_t* types,
                                          const int64_t* shapes, char* answer, int64_t capacity) {
  auto say = [&](const std::string& text) {
    const size_t count = std::min<size_t>(text.size(), capacity - 1);
    std::memcpy(answer, text.data(), count);
    answer[count] = 0;
  };
  try {
    const ffi::Span<const int64_t> numbers(description, length);
    const Description d(numbers);
    Array arrays[3];
    for (Array& array : arrays) {
      array.type = type_of(static_cast<ffi::DataType>(*types++));
      array.shape.assign(shapes, shapes + d.rank + 2);
      shapes += d.rank + 2;
    }
    const std::lock_guard<std::mutex> alone(jaxcnn_lock());
    say(plans().get(numbers, arrays[0], arrays[1], arrays[2])->implementation);
    return 1;
  } catch (const std::exception& error) {
    say(error.what());
  } catch (...) {
    say("unknown exception");
  }
  return 0;
}
