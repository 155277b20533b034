#include <fmt/core.h>

#include <map>

#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "compress/tokenizer/components.h"

namespace attar {
namespace {

int32_t as_id(const nlohmann::json& value, const std::string& where) {
  const auto id = json_integer(value);
  if (!id || *id < 0 || *id > std::numeric_limits<int32_t>::max())
    throw bad_input("a token id is expected here", where);
  return static_cast<int32_t>(*id);
}

/// Special ids and sequences in the order of "single", or of "pair" for two sequences.
class TemplateProcessing final : public PostProcessor {
 public:
  explicit TemplateProcessing(Fields& fields) {
    Fields tokens = fields.child("special_tokens");
    single_ = read_parts(fields.children("single"), tokens, false);
    if (fields.find("pair")) pair_ = read_parts(fields.children("pair"), tokens, true);
  }

  void apply(std::vector<int32_t>& ids, bool special) const override {
    std::vector<int32_t> result;
    for (const Part& part : single_) {
      if (part.sequence == 0 && !special) continue;
      const auto& source = part.sequence ? ids : part.ids;
      result.insert(result.end(), source.begin(), source.end());
    }
    ids = std::move(result);
  }

  void surroundings(std::vector<int32_t>& before, std::vector<int32_t>& behind) const override {
    bool seen = false;
    for (const Part& part : single_) {
      seen = seen || part.sequence;
      auto& side = seen ? behind : before;
      side.insert(side.end(), part.ids.begin(), part.ids.end());
    }
  }

  bool assemble(const std::vector<int32_t>& first, const std::vector<int32_t>* second,
                TypedIds& out) const override {
    if (second && pair_.empty()) throw bad_input("tokenizer.json has no template for two texts");
    for (const Part& part : second ? pair_ : single_)
      out.add(part.sequence == 0 ? part.ids : part.sequence == 'A' ? first : *second, part.type);
    return true;
  }

 private:
  struct Part {
    char sequence;  // 'A', 'B'; 0: special ids
    int32_t type;
    std::vector<int32_t> ids;
  };

  static int32_t type_of(Fields& fields) {
    const int64_t type = fields.integer("type_id", 0);
    if (type < 0 || type > std::numeric_limits<int32_t>::max())
      throw bad_input("a type id is expected here", fields.where("type_id"));
    return static_cast<int32_t>(type);
  }

  static std::vector<Part> read_parts(std::vector<Fields> list, Fields& tokens, bool pair) {
    std::vector<Part> parts;
    for (Fields& part : list) {
      if (part.find("Sequence")) {
        Fields sequence = part.child("Sequence");
        const std::string id = sequence.text("id");
        if (!pair && id != "A")
          throw bad_input("a template for one sequence can only use the sequence A",
                          sequence.where("id"));
        if (id != "A" && id != "B")
          throw bad_input("sequences are called A and B", sequence.where("id"));
        parts.push_back({id[0], type_of(sequence), {}});
        continue;
      }
      Fields token = part.child("SpecialToken");
      Fields named = tokens.child(token.text("id"));
      const auto* ids = named.find("ids");
      if (!ids || !ids->is_array())
        throw bad_input("a list of ids is expected", named.where("ids"));
      std::vector<int32_t> numbers;
      for (const auto& id : *ids) numbers.push_back(as_id(id, named.where("ids")));
      parts.push_back({0, type_of(token), std::move(numbers)});
    }
    return parts;
  }

  std::vector<Part> single_, pair_;
};

/// Only offsets change, and ids have none.
class ByteLevelOffsets final : public PostProcessor {
 public:
  explicit ByteLevelOffsets(Fields& fields) {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.find(key);
  }
  void apply(std::vector<int32_t>&, bool) const override {}
  void surroundings(std::vector<int32_t>&, std::vector<int32_t>&) const override {}
  bool assemble(const std::vector<int32_t>&, const std::vector<int32_t>*,
                TypedIds&) const override {
    return false;
  }
};

/// [CLS] sequence [SEP], and with a second one [CLS] first [SEP] second [SEP]: BertProcessing.
/// RobertaProcessing has <s> and </s>, </s></s> between two sequences, and one type only.
template <bool roberta>
class Bracketed final : public PostProcessor {
 public:
  explicit Bracketed(Fields& fields) : begin_(token(fields, "cls")), end_(token(fields, "sep")) {
    for (const char* key : {"trim_offsets", "add_prefix_space"}) fields.find(key);
  }
  void apply(std::vector<int32_t>& ids, bool special) const override {
    if (!special) return;
    ids.insert(ids.begin(), begin_);
    ids.push_back(end_);
  }
  void surroundings(std::vector<int32_t>& before, std::vector<int32_t>& behind) const override {
    before.push_back(begin_);
    behind.push_back(end_);
  }
  bool assemble(const std::vector<int32_t>& first, const std::vector<int32_t>* second,
                TypedIds& out) const override {
    out.add({begin_}, 0);
    out.add(first, 0);
    out.add({end_}, 0);
    if (!second) return true;
    constexpr int32_t kType = roberta ? 0 : 1;
    if (roberta) out.add({end_}, kType);
    out.add(*second, kType);
    out.add({end_}, kType);
    return true;
  }

 private:
  static int32_t token(Fields& fields, const std::string& key) {  // ["[CLS]", 101]
    const auto* pair = fields.find(key);
    if (!pair || !pair->is_array() || pair->size() != 2)
      throw bad_input("a token and its id are expected here", fields.where(key));
    return as_id((*pair)[1], fields.where(key));
  }
  int32_t begin_, end_;
};

class PostProcessorSequence final : public PostProcessor {
 public:
  explicit PostProcessorSequence(Fields& fields) {
    for (Fields& child : fields.children("processors"))
      steps_.push_back(make_post_processor(std::move(child)));
  }
  void apply(std::vector<int32_t>& ids, bool special) const override {
    for (const auto& step : steps_) step->apply(ids, special);
  }
  void surroundings(std::vector<int32_t>& before, std::vector<int32_t>& behind) const override {
    for (const auto& step : steps_) {
      std::vector<int32_t> outer;
      step->surroundings(outer, behind);
      before.insert(before.begin(), outer.begin(), outer.end());
    }
  }
  bool assemble(const std::vector<int32_t>& first, const std::vector<int32_t>* second,
                TypedIds& out) const override {
    bool added = false;
    for (const auto& step : steps_) {
      TypedIds own;
      if (!step->assemble(first, second, own)) continue;
      if (added) throw bad_input("two post-processors that both add special tokens");
      added = true;
      out = std::move(own);
    }
    return added;
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

template <class T>
std::unique_ptr<PostProcessor> make(Fields& fields) {
  return std::make_unique<T>(fields);
}

constexpr ComponentRow<PostProcessor> kPostProcessors[] = {
    {"TemplateProcessing", make<TemplateProcessing>}, {"ByteLevel", make<ByteLevelOffsets>},
    {"BertProcessing", make<Bracketed<false>>},       {"RobertaProcessing", make<Bracketed<true>>},
    {"Sequence", make<PostProcessorSequence>},
};

}  // namespace

std::unique_ptr<PostProcessor> make_post_processor(Fields fields) {
  return make_component(std::span<const ComponentRow<PostProcessor>>(kPostProcessors),
                        "post-processor", std::move(fields));
}

}  // namespace attar
