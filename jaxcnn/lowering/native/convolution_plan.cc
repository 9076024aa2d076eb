// Which of oneDNN's primitives, or of our own kernels, computes a convolution.

#include "convolution_plan.h"

#include "amx.h"

namespace jaxcnn::convolution {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

namespace {

bool lies_last(const View& view) {
  return view.lies_as(memory::desc(view.dims, view.type, memory::format_tag::nhwc));
}

// Plans a kernel for few channels, or for one filter a channel, which leave the vectors of oneDNN's empty; returns whether
// there is one.
bool plan_direct(Plan& plan, const Description& d, const View& src, const View& weights, const View& dst) {
  const auto type = src.type;
  const bool depthwise = d.groups > 1 && d.groups == src.dims[1] && d.groups == dst.dims[1];
  if (d.rank != 2 || (d.groups > 1 && !depthwise) || d.loops != 1 || weights.type != type || dst.type != type) return false;
  if (type != memory::data_type::f32 && type != memory::data_type::bf16) return false;
  if (!lies_last(src) || !lies_last(dst) || d.strides != Dims{1, 1} || d.dilation != Dims{1, 1}) return false;
  const size_t first = depthwise ? 1 : 0;  // of a view of grouped weights, whose groups are the outputs
  const jaxcnn::DirectShape shape{
      src.dims[0], src.dims[2], src.dims[3], src.dims[1], dst.dims[2], dst.dims[3], dst.dims[1],
      weights.dims[first + 2], weights.dims[first + 3], d.low[0], d.low[1], weights.strides[0],
      weights.strides[first + 1], weights.strides[first + 2], weights.strides[first + 3],
      type == memory::data_type::bf16};
  if (d.kind == kForward && depthwise) {
    plan.direct = jaxcnn::depthwise_forward(shape);
  } else if (d.kind == kForward) {
    plan.direct = jaxcnn::planar_forward(shape);
    if (!plan.direct) plan.direct = jaxcnn::broadcast_forward(shape);
    if (!plan.direct) plan.direct = jaxcnn::scattered_forward(shape);
  } else if (d.kind == kKernelGradient && !depthwise) {
    plan.direct = jaxcnn::planar_kernel_gradient(shape);
    if (!plan.direct) plan.direct = jaxcnn::broadcast_kernel_gradient(shape);
  }
  if (plan.direct) plan.implementation = "jaxcnn_direct:avx512_core";
  return plan.direct != nullptr;
}

// Plans our own kernel on AMX where it takes a convolution and is faster than oneDNN's: two spatial axes, channels last, whole
// tiles, images that fill their strips. Returns whether oneDNN's primitive is needed no more.
bool plan_ours(Plan& plan, const Description& d, const View& src, const View& weights, const View& dst) {
  const auto type = src.type;
  const bool single = type == memory::data_type::f32;
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

}  // namespace

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
  plan->alone = d.alone != 0;
  const Threads threads(plan->alone);
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
  if (plan_direct(*plan, d, src, weights, dst)) return plan;
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
  if (d.kind == kForward) {
    auto forward = [&](memory::format_tag tag) {
      return dnnl::convolution_forward::primitive_desc(
          engine(), dnnl::prop_kind::forward_inference, algorithm, memory::desc(src.dims, src.type, tag), weights_desc,
          memory::desc(dst.dims, dst.type, tag), d.strides, dilates, d.low, d.high, attributes);
    };
    auto chosen = forward(last);
    // In blocks oneDNN has but its naive reference for some strides: hundreds of times slower than channels last.
    if (few && std::string(chosen.impl_info_str()).rfind("ref", 0) == 0) chosen = forward(channels_last(d.rank));
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

}  // namespace jaxcnn::convolution
