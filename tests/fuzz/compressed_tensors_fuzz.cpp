// Quantized models with any configuration and any small tensors under the names that matter:
// refused with bad_input, or every weight loads with the shape it is listed with.
#include "compress/formats/compressed_tensors.h"

#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "tests/fuzz/small_model.h"

namespace {

using namespace attar::fuzzing;
using nlohmann::ordered_json;

constexpr const char* kNames[] = {"a.weight_packed",     "a.weight_scale",  "a.weight_shape",
                                  "a.weight_zero_point", "a.weight_g_idx",  "a.weight",
                                  "lm_head.weight",      "b.weight_packed", "b.weight_scale"};
constexpr ElementType kTypes[] = {{"I32", 4}, {"F32", 4}, {"BF16", 2},
                                  {"F16", 2}, {"I64", 8}, {"I8", 1}};

/// A configuration near the valid ones, or any JSON.
ordered_json make_config(FuzzedDataProvider& input) {
  if (input.ConsumeProbability<float>() < 0.2f)
    return attar::parse_json<ordered_json>(input.ConsumeRandomLengthString(600), "config.json");
  ordered_json weights = {
      {"num_bits", input.ConsumeIntegralInRange(1, 9)},
      {"type", "int"},
      {"symmetric", input.ConsumeBool()},
      {"strategy", input.PickValueInArray({"group", "channel", "tensor", "block"})},
      {"group_size", input.ConsumeIntegralInRange(-1, 40)}};
  const char* format =
      input.PickValueInArray({"pack-quantized", "int-quantized", "naive-quantized", "x"});
  ordered_json group = {{"targets", {input.ConsumeRandomLengthString(8), "Linear"}},
                        {"weights", std::move(weights)}};
  return {{"format", format},
          {"ignore", {input.ConsumeRandomLengthString(8)}},
          {"config_groups", {{"group_0", std::move(group)}}}};
}

std::map<std::string, SmallTensor> make_tensors(FuzzedDataProvider& input) {
  std::map<std::string, SmallTensor> tensors;
  for (const char* name : kNames)
    if (input.ConsumeBool()) tensors[name] = any_tensor(input, kTypes);
  return tensors;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Scratch scratch;
  FuzzedDataProvider input(data, size);
  try {
    const ordered_json config = make_config(input);
    if (!config.is_object()) return 0;  // ModelDirectory refuses it before
    write_tensors(scratch, make_tensors(input));
    load_all(*attar::compressed_tensors::open(config, attar::Checkpoint::open(scratch.directory),
                                              "config.json"));
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
  return 0;
}
