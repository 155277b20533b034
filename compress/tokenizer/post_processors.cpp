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

/// Special ids and the sequence, in the order of "single" (pairs of sequences are never encoded
/// here).
class TemplateProcessing final : public PostProcessor {
 public:
  explicit TemplateProcessing(Fields& fields) {
    fields.find("pair");
    Fields tokens = fields.child("special_tokens");
    for (Fields& part : fields.children("single")) {
      if (part.find("Sequence")) {
        Fields sequence = part.child("Sequence");
        if (sequence.text("id") != "A")
          throw bad_input("a template for one sequence can only use the sequence A",
                          sequence.where("id"));
        parts_.push_back({true, {}});
      } else {
        Fields token = part.child("SpecialToken");
        Fields named = tokens.child(token.text("id"));
        const auto* ids = named.find("ids");
        if (!ids || !ids->is_array())
          throw bad_input("a list of ids is expected", named.where("ids"));
        std::vector<int32_t> numbers;
        for (const auto& id : *ids) numbers.push_back(as_id(id, named.where("ids")));
        parts_.push_back({false, std::move(numbers)});
      }
    }
  }

  void apply(std::vector<int32_t>& ids, bool special) const override {
    std::vector<int32_t> result;
    for (const Part& part : parts_) {
      if (!part.sequence && !special) continue;
      const auto& source = part.sequence ? ids : part.ids;
      result.insert(result.end(), source.begin(), source.end());
    }
    ids = std::move(result);
  }

  void surroundings(std::vector<int32_t>& before, std::vector<int32_t>& behind) const override {
    bool seen = false;
    for (const Part& part : parts_) {
      seen = seen || part.sequence;
      auto& side = seen ? behind : before;
      side.insert(side.end(), part.ids.begin(), part.ids.end());
    }
  }

 private:
  struct Part {
    bool sequence;
    std::vector<int32_t> ids;
  };
  std::vector<Part> parts_;
};

/// Only offsets change, and ids have none.
class ByteLevelOffsets final : public PostProcessor {
 public:
  explicit ByteLevelOffsets(Fields& fields) {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.find(key);
  }
  void apply(std::vector<int32_t>&, bool) const override {}
  void surroundings(std::vector<int32_t>&, std::vector<int32_t>&) const override {}
};

/// [CLS] sequence [SEP]: BertProcessing, and RobertaProcessing with its <s> and </s>.
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

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

template <class T>
std::unique_ptr<PostProcessor> make(Fields& fields) {
  return std::make_unique<T>(fields);
}

constexpr ComponentRow<PostProcessor> kPostProcessors[] = {
    {"TemplateProcessing", make<TemplateProcessing>},
    {"ByteLevel", make<ByteLevelOffsets>},
    {"BertProcessing", make<Bracketed>},
    {"RobertaProcessing", make<Bracketed>},
    {"Sequence", make<PostProcessorSequence>},
};

}  // namespace

std::unique_ptr<PostProcessor> make_post_processor(Fields fields) {
  return make_component(std::span<const ComponentRow<PostProcessor>>(kPostProcessors),
                        "post-processor", std::move(fields));
}

}  // namespace attar
