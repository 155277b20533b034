// attar embed: the vectors that an encoder gives to texts.
#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/cli/texts.h"

namespace attar::cli {
namespace {

int run(const Command& self, const std::vector<std::string>& args) {
  TextOptions texts;
  po::options_description options = text_options(texts);
  bool on = false, off = false;
  options.add_options()  //
      ("normalize", po::bool_switch(&on),
       "divide each vector by its length; default: as the model's modules.json says")  //
      ("no-normalize", po::bool_switch(&off), "give the vectors as they are");
  po::positional_options_description positional;
  positional.add("model", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  check_text_options(parsed, self, texts);
  if (on && off) throw bad_input("--normalize and --no-normalize contradict each other");
  const TextEncoder encoder = load_encoder(texts, Task::embed);
  const bool normalize = on || (!off && encoder.model->spec().normalize);
  run_texts(texts, encoder, [&](std::span<float> vector, const EncodedText& text) {
    if (normalize) normalize_vector(vector);
    fmt::print("{{\"embedding\":[{}]", fmt::join(vector, ","));
    if (text.cut())
      fmt::print(",\"ids_cut\":{}", text.length - static_cast<int64_t>(text.ids.size()));
    fmt::print("}}\n");
  });
  return 0;
}

}  // namespace

Command embed_command() {
  return {"embed", "MODEL (--text TEXT | --file FILE) [options]",
          "turns texts into vectors, one JSON line each",
          "attar embed ./encoder --text \"My card has not arrived yet\"\n"
          "attar embed ./encoder --file passages.txt --batch 64 > vectors.jsonl\n"
          "cat passages.txt | attar embed ./encoder --file - --no-normalize",
          run};
}

}  // namespace attar::cli
