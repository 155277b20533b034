#include "compress/cli/texts.h"

#include <fmt/format.h>

#include <fstream>
#include <iostream>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"

namespace attar::cli {
namespace {

/// Lines of a file or of standard input ("-"); a text given by itself is the only one.
class Lines {
 public:
  explicit Lines(const TextOptions& options) : options_(options) {
    if (options.file.empty() || options.file == "-") return;
    if (!fs::is_regular_file(options.file) && !fs::is_fifo(options.file))
      throw bad_input("no such file", options.file);
    file_.open(options.file);
    if (!file_) throw bad_input("cannot read the file", options.file);
  }

  bool next(std::string& line) {
    if (options_.file.empty()) {
      line = options_.text;
      return number_++ == 0;
    }
    std::istream& stream = options_.file == "-" ? std::cin : file_;
    if (!std::getline(stream, line)) {
      if (stream.bad()) throw failure("reading failed", place());
      return false;
    }
    ++number_;
    if (line.ends_with('\r')) line.pop_back();
    return true;
  }

  std::string place() const {
    if (options_.file.empty()) return "--text";
    return fmt::format("{}:{}", options_.file == "-" ? "standard input" : options_.file, number_);
  }

 private:
  const TextOptions& options_;
  std::ifstream file_;
  int64_t number_ = 0;
};

struct Item {
  std::string place, first;
  std::optional<std::string> second;
  EncodedText ids;
};

Item item_of(const TextOptions& options, std::string line, std::string place) {
  Item item{std::move(place), std::move(line), {}, {}};
  if (!options.second.empty()) item.second = options.second;
  if (!options.pairs) return item;
  const size_t tab = item.first.find('\t');
  if (tab == std::string::npos || item.first.find('\t', tab + 1) != std::string::npos)
    throw bad_input("a pair is two texts with one tab between them", item.place);
  item.second = item.first.substr(tab + 1);
  item.first.resize(tab);
  return item;
}

TextInput input_of(const Item& item) {
  return {item.first, item.second ? std::optional<std::string_view>(*item.second) : std::nullopt};
}

}  // namespace

po::options_description text_options(TextOptions& options) {
  po::options_description description("Options");
  description.add_options()                                                                   //
      ("model", po::value(&options.model)->required(), "model directory")                     //
      ("text", po::value(&options.text), "the text")                                          //
      ("text-pair", po::value(&options.second), "a second text, read with the first")         //
      ("file", po::value(&options.file), "a file with one text a line; - is standard input")  //
      ("pairs", po::bool_switch(&options.pairs),
       "lines of the file are pairs of texts with a tab between them")  //
      ("batch", po::value(&options.batch)->default_value(options.batch),
       "texts computed at once; results do not depend on it")  //
      ("activations", po::value(&options.activations)->default_value("exact"),
       "how inputs enter products with quantized weights: exact, int16 or int8 (each faster)")  //
      ("truncate", po::bool_switch(&options.truncate),
       "cut texts that are longer than the model takes; default: an error");
  add_packed_cache(description, options.packed_cache);
  return description;
}

TextEncoder load_encoder(const TextOptions& options, Task task) {
  const RuntimeOptions runtime{parse_activations(options.activations, "--activations"),
                               KvFormat::f32, options.packed_cache};
  const Model opened = open_model(options.model);
  TextEncoder encoder = TextEncoder::load(opened, Tokenizer::find(options.model), runtime);
  encoder.require(task);
  return encoder;
}

void check_text_options(const Parsed& parsed, const Command& self, const TextOptions& options) {
  const auto given = [&](const char* name) { return parsed.values.count(name) > 0; };
  if (given("text") + given("file") != 1)
    throw bad_input("exactly one of --text and --file is needed", {}, self.usage());
  if (options.pairs && !given("file")) throw bad_input("--pairs is about the lines of --file");
  if (given("text-pair") && !given("text"))
    throw bad_input("--text-pair goes with --text", {}, "pairs of a file: --file F --pairs");
  if (options.batch < 1 || options.batch > 4096)
    throw bad_input(fmt::format("--batch must be between 1 and 4096, not {}", options.batch));
}

void run_texts(const TextOptions& options, const TextEncoder& encoder, const TextResult& result) {
  Lines lines(options);
  int64_t done = 0, cut = 0;
  for (bool more = true; more;) {
    check_interrupted();
    std::vector<Item> items;
    std::string line;
    while (std::ssize(items) < options.batch && (more = lines.next(line)))
      items.push_back(item_of(options, std::move(line), lines.place()));
    if (items.empty()) break;
    parallel_for(std::ssize(items), 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Item& item = items[static_cast<size_t>(i)];
        item.ids = encoder.encode(input_of(item), options.truncate, item.place);
      }
    });
    std::vector<TextIds> texts;
    for (const Item& item : items) {
      texts.push_back({item.ids.ids, item.ids.types});
      cut += item.ids.cut();
    }
    std::vector<float> values = encoder.model->run(texts);
    const auto width = static_cast<size_t>(encoder.model->width());
    for (size_t i = 0; i < items.size(); ++i)
      result(std::span(values).subspan(i * width, width), items[i].ids);
    std::fflush(stdout);
    done += std::ssize(items);
  }
  if (done == 0) say("no text was given: " + options.file + " is empty");
  if (cut > 0) say(fmt::format("{} of {} texts were cut to {} ids", cut, done, encoder.limit));
}

}  // namespace attar::cli
