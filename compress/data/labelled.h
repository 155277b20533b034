// Texts with labels: what classifiers are trained and measured on, and pairs of texts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compress/recipe/recipe.h"

namespace attar {

struct LabelledText {
  std::string text;
  std::optional<std::string> second;  // of a pair (data.pair)
  std::string label;                  // as the file spells it; empty without one
  std::string where;                  // "test.csv:17"
};

/// The rows of a JSONL, CSV or TSV entry, in file order: `data.field`, `data.pair` where it is set
/// and `data.label` (default "label"); labels may be whole or decimal numbers. Without
/// `needs_label`, a file without the default label column gives texts without labels. `skip` and
/// `take` as in load_documents; `samples` draws that many rows with `seed`, kept in order.
/// bad_input: another format, no rows, an absent field or a value of the wrong type (with its
/// line), invalid UTF-8.
std::vector<LabelledText> load_labelled(const DataSpec& data, bool needs_label, uint64_t seed);

/// At most `samples` of the rows, drawn with `seed` and kept in order.
std::vector<LabelledText> draw_rows(std::vector<LabelledText> rows,
                                    const std::optional<int64_t>& samples, uint64_t seed);

/// The index of each row's label among `labels`: by name, or, where no name fits any row and all
/// are whole numbers, by number; `by_number` says which. bad_input naming the first row whose label
/// is none, and for names that stand twice.
struct LabelIndices {
  std::vector<int64_t> index;
  bool by_number = false;
};
LabelIndices label_indices(const std::vector<LabelledText>& rows,
                           const std::vector<std::string>& labels);

/// The distinct labels of the rows: whole numbers by value, anything else by its bytes.
std::vector<std::string> distinct_labels(const std::vector<LabelledText>& rows);

}  // namespace attar
