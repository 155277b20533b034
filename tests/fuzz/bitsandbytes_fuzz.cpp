// Models in the layouts of bitsandbytes with any states and any small tensors under the names that
// matter: refused with bad_input, or every weight loads with the shape it is listed with.
#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "compress/formats/quant_format.h"
#include "tests/fuzz/small_model.h"

namespace {

using namespace attar::fuzzing;
using nlohmann::ordered_json;

constexpr const char* kNames[] = {"a.weight",
                                  "a.weight.absmax",
                                  "a.weight.quant_map",
                                  "a.weight.nested_absmax",
                                  "a.weight.nested_quant_map",
                                  "a.weight.quant_state.bitsandbytes__nf4",
                                  "a.weight.quant_state.bitsandbytes__fp4",
                                  "b.weight",
                                  "b.SCB",
                                  "b.weight_format"};
constexpr ElementType kTypes[] = {{"U8", 1}, {"F32", 4}, {"I8", 1}, {"BF16", 2}};

SmallTensor floats(std::vector<float> values) {
  return {"F32",
          {std::ssize(values)},
          {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}};
}

/// The tensors of a matrix near the valid ones.
void put_matrix(FuzzedDataProvider& input, std::map<std::string, SmallTensor>& tensors) {
  const bool nf4 = input.ConsumeBool(), nested = input.ConsumeBool();
  const int64_t rows = input.ConsumeIntegralInRange<int64_t>(-1, 5),
                cols = input.ConsumeIntegralInRange<int64_t>(0, 33),
                block = int64_t{1} << input.ConsumeIntegralInRange(2, 62);
  const auto count = static_cast<size_t>(std::max<int64_t>(0, rows * cols));
  const size_t blocks = (count + static_cast<size_t>(block) - 1) / static_cast<size_t>(block);
  ordered_json state = {{"quant_type", nf4 ? "nf4" : "fp4"},
                        {"blocksize", block},
                        {"dtype", "bfloat16"},
                        {"shape", {rows, cols}}};
  if (nested) {
    state["nested_blocksize"] = 256;
    state["nested_offset"] = input.ConsumeFloatingPoint<float>();
    tensors["a.weight.absmax"] = {
        "U8", {static_cast<int64_t>(blocks)}, input.ConsumeBytesAsString(blocks)};
    tensors["a.weight.absmax"].bytes.resize(blocks);
    tensors["a.weight.nested_absmax"] = floats({input.ConsumeFloatingPoint<float>()});
    tensors["a.weight.nested_quant_map"] = floats(std::vector<float>(256, 0.5f));
  } else {
    tensors["a.weight.absmax"] =
        floats(std::vector<float>(blocks, input.ConsumeFloatingPoint<float>()));
  }
  const auto levels = attar::level_values(nf4 ? attar::Levels::nf4 : attar::Levels::fp4);
  tensors["a.weight.quant_map"] = floats({levels.begin(), levels.end()});
  std::string codes = input.ConsumeBytesAsString((count + 1) / 2);
  codes.resize((count + 1) / 2);
  tensors["a.weight"] = {"U8", {std::ssize(codes), 1}, codes};
  const std::string text = input.ConsumeProbability<float>() < 0.2f
                               ? input.ConsumeRandomLengthString(200)
                               : state.dump();
  tensors[std::string("a.weight.quant_state.bitsandbytes__") + (nf4 ? "nf4" : "fp4")] = {
      "U8", {std::ssize(text)}, text};
}

std::map<std::string, SmallTensor> make_tensors(FuzzedDataProvider& input) {
  std::map<std::string, SmallTensor> tensors;
  put_matrix(input, tensors);
  for (const char* name : kNames) {
    const int choice = input.ConsumeIntegralInRange(0, 15);
    if (choice == 0) tensors.erase(name);
    if (choice == 1) tensors[name] = any_tensor(input, kTypes);
  }
  return tensors;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Scratch scratch;
  FuzzedDataProvider input(data, size);
  try {
    write_tensors(scratch, make_tensors(input));
    load_all(*attar::find_quant_format("bitsandbytes", "")
                  .open(ordered_json::object(), attar::Checkpoint::open(scratch.directory),
                        "config.json"));
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
  return 0;
}
