// attar tokenize: text to token ids and back.
#include <fmt/format.h>

#include <charconv>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/cli/command.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar::cli {
namespace {

/// "1 2 3" or "1,2,3".
std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  constexpr std::string_view kBetween = " ,\t\r\n";
  for (size_t at = text.find_first_not_of(kBetween); at != std::string::npos;
       at = text.find_first_not_of(kBetween, at)) {
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || stop != text.data() + end)
      throw bad_input(fmt::format("\"{}\" is no token id", text.substr(at, end - at)), "--decode",
                      "ids are numbers parted by spaces or commas");
    ids.push_back(id);
    at = end;
  }
  return ids;
}

std::string read_input(const std::string& file) {
  if (file != "-") return read_text(file);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

void print_json(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip_special) {
  std::vector<std::string> tokens;
  for (const int32_t id : ids) tokens.push_back(tokenizer.token(id));
  const nlohmann::ordered_json json = {
      {"ids", ids}, {"tokens", tokens}, {"text", tokenizer.decode(ids, skip_special)}};
  fmt::print("{}\n", json.dump());
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string path, text, file, ids_text;
  options.add_options()                                                        //
      ("tokenizer", po::value(&path)->required(),                              //
       "model directory or tokenizer.json")                                    //
      ("text", po::value(&text), "the text to tokenize")                       //
      ("file", po::value(&file), "a file with the text; - is standard input")  //
      ("decode", po::value(&ids_text), "ids to turn into text: \"1 2 3\"")     //
      ("no-special", po::bool_switch(),                                        //
       "add no special tokens; with --decode: leave them out of the text");
  po::positional_options_description positional;
  positional.add("tokenizer", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  const auto given = [&](const char* name) { return parsed.values.count(name) > 0; };
  if (given("text") + given("file") + given("decode") != 1)
    throw bad_input("exactly one of --text, --file and --decode is needed", {},
                    fmt::format("usage: attar {} {}", self.name, self.synopsis));

  const auto tokenizer = Tokenizer::load(path);
  const bool plain = parsed.values["no-special"].as<bool>();
  std::vector<int32_t> ids;
  if (given("decode"))
    ids = parse_ids(ids_text);
  else
    ids = tokenizer->encode(given("text") ? text : read_input(file), !plain);
  if (parsed.json)
    print_json(*tokenizer, ids, plain && given("decode"));
  else if (given("decode"))
    fmt::print("{}\n", tokenizer->decode(ids, plain));
  else
    fmt::print("{}\n", fmt::join(ids, " "));
  return 0;
}

}  // namespace

Command tokenize_command() {
  return {"tokenize", "MODEL_OR_TOKENIZER (--text TEXT | --file FILE | --decode IDS) [options]",
          "turns text into token ids, or ids into text",
          "attar tokenize ./model --text \"Hello world\"\n"
          "attar tokenize ./model/tokenizer.json --file story.txt --no-special\n"
          "attar tokenize ./model --decode \"1 15043 3186\"",
          run};
}

}  // namespace attar::cli
