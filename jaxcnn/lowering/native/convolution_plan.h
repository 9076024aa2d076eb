// How one convolution runs: oneDNN's primitive or our own kernel, layouts, reorders, and where scratch memory lies.
#pragma once

#include <omp.h>

#include <memory>
#include <string>

#include "amx_forward.h"
#include "amx_kernel_gradient.h"
#include "convolution_description.h"
#include "direct.h"

namespace jaxcnn::convolution {

const dnnl::engine& engine();

// While it lives, OpenMP gives what this thread starts no threads but itself, if `alone`. oneDNN plans for the threads
// that it finds, so that plans are made under it as they are run.
class Threads {
 public:
  explicit Threads(bool alone) : before_(omp_get_max_threads()) {
    if (alone) omp_set_num_threads(1);
  }
  ~Threads() { omp_set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

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
  bool alone = false;  // on the calling thread, without the lock
  memory::desc scratch;
  size_t scratch_offset = 0, arena_bytes = 0;
  std::unique_ptr<jaxcnn::Direct> direct;  // in place of all the rest
  // Our own kernels on AMX, which run in place of the primitive; on float32, unless a number is not finite.
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

// Throws where a convolution is not what it says, or oneDNN has none.
std::shared_ptr<Plan> make_plan(const Description& d, const Array& lhs, const Array& rhs, const Array& out);

}  // namespace jaxcnn::convolution
