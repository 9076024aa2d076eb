// Convolutions of XLA, run by oneDNN.
//
// An XLA convolution is one of three things in oneDNN's words: a forward convolution, its input gradient (the map is
// dilated), or its kernel gradient (the "kernel" is a map). Python says which (`description`, below) and where the axes
// of each buffer lie; shapes come from the buffers. All is checked here again: the handler gets raw pointers.
//
// A plan (primitive, layouts, reorders) is made once for each description and set of shapes, and kept in a bounded
// cache. oneDNN and the AMX kernels run on OpenMP's threads, one convolution at a time: each uses every core. Their
// scratch memory is one arena, which only the holder of the process's lock touches. One that is to run alone, of a
// program that runs beside others, takes the calling thread and its arena, and no lock. The kernels for few channels
// run on XLA's threads, and hold no lock either.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <list>
#include <unordered_map>

#include "common.h"
#include "convolution_plan.h"

namespace jaxcnn::convolution {
namespace {

// Plans by description and shapes, the most recently used first.
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
    const std::lock_guard<std::mutex> alone(lock_);
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
  std::mutex lock_;
  std::list<std::pair<std::string, std::shared_ptr<Plan>>> recent_;
  std::unordered_map<std::string, decltype(recent_)::iterator> places_;
};

Plans& plans() {
  static Plans all;
  return all;
}

// Scratch memory of one convolution at a time, and oneDNN's stream; the memory grows to the largest plan and stays.
class Bench {
 public:
  char* arena(size_t bytes) {
    if (bytes > size_) {
      arena_.reset();
      size_ = 0;
      arena_.reset(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
      if (!arena_) throw std::bad_alloc();
      size_ = bytes;
    }
    return arena_.get();
  }

  dnnl::stream stream{engine()};

 private:
  std::unique_ptr<char, decltype(&std::free)> arena_{nullptr, &std::free};
  size_t size_ = 0;
};

void run(const Plan& plan, Bench& bench, const Array& lhs, const Array& rhs, const Array& out) {
  dnnl::stream& stream = bench.stream;
  char* arena = bench.arena(plan.arena_bytes);
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

ffi::Error convolve(ffi::ThreadPool threads, ffi::AnyBuffer lhs, ffi::AnyBuffer rhs, ffi::Result<ffi::AnyBuffer> out,
                    ffi::Span<const int64_t> description) {
  try {
    const Array a = array_of(lhs), b = array_of(rhs), c = array_of(*out);
    const auto plan = plans().get(description, a, b, c);
    if (plan->direct) {
      plan->direct->run(threads, a.data, b.data, c.data);
      return ffi::Error::Success();
    }
    if (plan->alone) {
      thread_local Bench own;
      const Threads one(true);
      run(*plan, own, a, b, c);
      return ffi::Error::Success();
    }
    static Bench shared;
    const std::lock_guard<std::mutex> held(jaxcnn_lock());
    run(*plan, shared, a, b, c);
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
}  // namespace jaxcnn::convolution

namespace ffi = xla::ffi;
using namespace jaxcnn::convolution;

#define JAXCNN_EXPORT extern "C" __attribute__((visibility("default")))

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_convolution(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_convolution, jaxcnn::convolution::convolve,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
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
    say(plans().get(numbers, arrays[0], arrays[1], arrays[2])->implementation);
    return 1;
  } catch (const std::exception& error) {
    say(error.what());
  } catch (...) {
    say("unknown exception");
  }
  return 0;
}
