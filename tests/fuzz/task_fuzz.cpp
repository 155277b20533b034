// Any file as a task in each format: refused with an Error, or examples with choices.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "compress/base/error.h"
#include "eval/tasks/task.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace attar;
  const fuzzing::MemoryFile file(data, size);
  for (const char* format : {"json", "jsonl", "csv", "text"}) {
    EvaluationTask request{"task", "", {}};
    request.data.path = file.path();
    request.data.format = format;
    try {
      for (const auto& example : eval::load_task(request, 1, 0).examples)
        if (example.choices.empty() || example.worth.size() != example.choices.size()) std::abort();
    } catch (const Error&) {
    }
  }
  return 0;
}
