# Writes OUTPUT, a C++ source that holds the text of INPUT; see attar_embed.
file(READ ${INPUT} text)
string(FIND "${text}" ")embedded\"" clash)
if(NOT clash EQUAL -1)
  message(FATAL_ERROR "${INPUT} contains the end mark of the raw string")
endif()
file(WRITE ${OUTPUT} "#include <string_view>

namespace attar::assets {
std::string_view ${SYMBOL}();
std::string_view ${SYMBOL}() {
  return R\"embedded(${text})embedded\";
}
}  // namespace attar::assets
")
