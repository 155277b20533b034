#include "eval/sequences.h"

#include <algorithm>

#include "compress/tokenizer/unicode.h"

namespace attar::eval {

int64_t Sequences::count() const {
  int64_t sum = 0;
  for (const auto& s : list) sum += s.predictions();
  return sum;
}

int64_t Sequences::longest() const {
  int64_t most = 0;
  for (const auto& s : list) most = std::max(most, s.length);
  return most;
}

void Sequences::add(std::span<const int32_t> text, int64_t first) {
  list.push_back({static_cast<int64_t>(ids.size()), static_cast<int64_t>(text.size()), first});
  ids.insert(ids.end(), text.begin(), text.end());
}

Sequences whole_windows(const TokenWindows& windows) {
  Sequences set;
  set.ids = windows.ids;
  for (int64_t w = 0; w < windows.count(); ++w) {
    set.list.push_back({w * windows.window, windows.window, 0});
    set.close();
  }
  return set;
}

Sequences second_halves(const TokenWindows& windows, std::optional<int32_t> bos) {
  Sequences set = whole_windows(windows);
  set.unit = "chunk";
  for (auto& s : set.list) {
    s.first = s.length / 2;
    if (bos) set.ids[static_cast<size_t>(s.begin)] = *bos;
  }
  return set;
}

TextSize text_size(std::string_view text) {
  TextSize size{1, static_cast<int64_t>(text.size())};
  bool in_space = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    // Python's \s also takes the separators 0x1c to 0x1f.
    const bool space = is_white_space(c) || (c >= 0x1c && c <= 0x1f);
    size.words += space && !in_space;
    in_space = space;
  }
  return size;
}

Sequences rolling(const std::vector<std::vector<int32_t>>& documents, int32_t prefix,
                  int64_t window) {
  Sequences set;
  set.unit = "document";
  for (const auto& document : documents) {
    const auto length = static_cast<int64_t>(document.size());
    std::vector<int32_t> text = {prefix};
    text.insert(text.end(), document.begin(), document.end());
    // text[i + 1] = document[i]; a window reads ids [begin, end) and predicts those of [done, end].
    for (int64_t done = 0; done < length;) {
      const int64_t end = std::min(length, done + window);
      const int64_t begin = done == 0 ? 0 : std::max<int64_t>(0, end - window);
      set.add(
          std::span(text).subspan(static_cast<size_t>(begin), static_cast<size_t>(end + 1 - begin)),
          done - begin);
      done = end;
    }
    set.close();
  }
  return set;
}

}  // namespace attar::eval
