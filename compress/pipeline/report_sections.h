// The parts of report.html, each from <section> to </section>; "" when there is nothing to say.
#pragma once

#include <string>

#include "compress/pipeline/report.h"

namespace attar::report {

/// What was compressed, by how much, at what cost.
std::string headline(const RunReport& run);
std::string accuracy_section(const RunReport& run);
std::string speed_section(const RunReport& run);
std::string models_section(const RunReport& run);
std::string blocks_section(const RunReport& run);
std::string samples_section(const RunReport& run);
std::string sweep_section(const RunReport& run);
std::string stages_section(const RunReport& run);
std::string checks_section(const RunReport& run);
std::string data_section(const RunReport& run);
std::string reproduction_section(const RunReport& run);

/// JSON as a reader writes it: strings without quotes, lists and maps on one line.
std::string plain(const nlohmann::ordered_json& json);
/// A definition list of an object's entries; "" for anything else.
std::string facts_list(const nlohmann::ordered_json& json);

}  // namespace attar::report
