// Which file a tokenizer is loaded from. In a directory the first of these counts: tokenizer.json;
// tokenizer.model or spiece.model (SentencePiece, or tiktoken's lines as in Llama 3's); vocab.json
// with merges.txt (GPT-2); vocab.txt (BERT); the only *.tiktoken; tokenizer.gguf, the vocabulary of
// a GGUF file that the model was made from; the model itself when it is the only *.gguf. A file may
// be any of these by its ending; other endings are read as tokenizer.json.
#include <fmt/core.h>

#include "compress/base/error.h"
#include "compress/formats/gguf/file.h"
#include "compress/tokenizer/definition.h"
#include "compress/tokenizer/gguf_vocabulary.h"

namespace attar {
namespace {

/// A file's format by what it is called and how it begins.
TokenizerDefinition define_by_file(const fs::path& file) {
  const std::string extension = file.extension().string();
  if (extension == ".tiktoken") return define_by_tiktoken(file);
  if (extension == ".model")
    return looks_like_tiktoken(MappedFile::open(file).text()) ? define_by_tiktoken(file)
                                                              : define_by_sentencepiece(file);
  if (extension == ".txt") return define_by_vocabulary_text(file);
  return define_by_tokenizer_json(file);
}

/// The only file of the directory that ends so; nothing when there is none.
std::optional<fs::path> only_file(const fs::path& directory, const char* extension) {
  std::optional<fs::path> only;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() != extension) continue;
    if (only)
      throw bad_input(fmt::format("two files end in {}, {} and {}", extension,
                                  only->filename().string(), entry.path().filename().string()),
                      directory.string(), "name the file that is meant");
    only = entry.path();
  }
  return only;
}

std::shared_ptr<const Tokenizer> load_gguf(const fs::path& file) {
  return make_gguf_tokenizer(read_gguf_vocabulary(gguf::File::open(file).metadata()));
}

/// Nothing when none of the files is there.
std::optional<TokenizerDefinition> define_by_directory(const fs::path& directory) {
  const auto file = [&](const char* name) { return directory / name; };
  if (fs::exists(file("tokenizer.json"))) return define_by_file(file("tokenizer.json"));
  for (const char* name : {"tokenizer.model", "spiece.model"})
    if (fs::exists(file(name))) return define_by_file(file(name));
  if (fs::exists(file("vocab.json")) && fs::exists(file("merges.txt")))
    return define_by_vocabulary_and_merges(directory);
  if (fs::exists(file("vocab.txt"))) return define_by_file(file("vocab.txt"));
  if (const auto found = only_file(directory, ".tiktoken")) return define_by_file(*found);
  return {};
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::find(const fs::path& path) {
  if (!fs::is_directory(path))
    return path.extension() == ".gguf" ? load_gguf(path) : make_tokenizer(define_by_file(path));
  if (auto definition = define_by_directory(path)) return make_tokenizer(std::move(*definition));
  const auto vocabulary = gguf::find_vocabulary_file(path);
  return vocabulary ? load_gguf(*vocabulary) : nullptr;
}

std::shared_ptr<const Tokenizer> Tokenizer::load(const fs::path& path) {
  if (auto found = find(path)) return found;
  throw bad_input("the directory has no tokenizer", path.string(),
                  "copy the model's tokenizer.json into it; tokenizer.model, vocab.json with "
                  "merges.txt, vocab.txt and *.tiktoken are read as well");
}

}  // namespace attar
