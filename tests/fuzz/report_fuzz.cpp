// Any JSON that calls itself a report is refused with an Error or rendered.
#include <string_view>

#include "compress/base/error.h"
#include "compress/pipeline/report.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded()) return 0;
  try {
    const attar::RunReport report = attar::report_from_json(json);
    attar::render_html(report);
    attar::render_markdown(report);
    attar::render_summary(report);
    attar::to_json(report);
  } catch (const attar::Error&) {
  }
  return 0;
}
