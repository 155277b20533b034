#include <array>
#include <set>
#include <string_view>

#include "compress/base/error.h"
#include "compress/formats/gguf/writer.h"
#include "compress/formats/weights.h"

namespace attar {
namespace {

constexpr std::array kNames = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "modules.json",
    "sentence_bert_config.json",
};

/// SentencePiece and tiktoken vocabularies have free names; licences and notices must travel with
/// weights.
bool carried(const fs::path& file) {
  const std::string name = file.filename().string(), extension = file.extension().string();
  for (const std::string_view known : kNames)
    if (name == known) return true;
  return extension == ".model" || extension == ".tiktoken" || name == gguf::kVocabularyFile ||
         name.starts_with("LICENSE") || name.starts_with("NOTICE");
}

/// A GGUF file carries its tokenizer and chat template inside: they go along in a file of the same
/// kind that holds nothing else.
std::string copy_vocabulary(const fs::path& file, const fs::path& to) {
  const gguf::File opened = gguf::File::open(file);
  gguf::Metadata metadata;
  for (const auto& [key, value] : opened.metadata().entries())
    if (key == "general.architecture" || key == "general.name" || key.starts_with("tokenizer."))
      metadata.set(key, value);
  gguf::Writer(to / gguf::kVocabularyFile, metadata, {}).finish();
  return gguf::kVocabularyFile;
}

}  // namespace

std::vector<std::string> copy_side_files(const fs::path& from, const fs::path& to) {
  if (const auto file = gguf::find_model_file(from)) return {copy_vocabulary(*file, to)};
  std::set<std::string> copied;
  for (const auto& entry : fs::directory_iterator(from))
    if (entry.is_regular_file() && carried(entry.path()))
      copied.insert(entry.path().filename().string());
  // What sentence embedders pool with, and chat templates by name, stand one level down.
  for (const char* folder : {"1_Pooling", "additional_chat_templates"}) {
    if (!fs::is_directory(from / folder)) continue;
    std::error_code code;
    fs::create_directory(to / folder, code);
    if (code) throw failure("cannot create directory: " + code.message(), (to / folder).string());
    for (const auto& entry : fs::directory_iterator(from / folder))
      if (entry.is_regular_file())
        copied.insert((fs::path(folder) / entry.path().filename()).string());
  }
  for (const std::string& name : copied)
    write_file(to / name, MappedFile::open(from / name).text());
  return {copied.begin(), copied.end()};
}

}  // namespace attar
