#include <gmock/gmock.h>

#include "compress/base/threads.h"
#include "compress/data/dataset.h"
#include "compress/formats/safetensors.h"
#include "tests/data/scratch.h"

namespace attar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_data::error_of;

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/tokenizers";

class Windows : public testing_data::Scratch {
 protected:
  /// A file with input_ids [rows, columns].
  DataSpec ids_file(int64_t rows, const std::vector<int64_t>& ids) {
    const fs::path path = directory_ / "ids.safetensors";
    const auto columns = static_cast<int64_t>(ids.size()) / rows;
    SafetensorsWriter writer(path, {{"input_ids", DType::i64, {rows, columns}}});
    writer.write("input_ids", std::as_bytes(std::span(ids)));
    writer.finish();
    DataSpec spec;
    spec.path = path;
    return spec;
  }
  /// Llama-3's kind (begin token 0), with an end token (1) named.
  std::shared_ptr<const Tokenizer> tokenizer() {
    const fs::path model = directory_ / "model";
    fs::create_directories(model);
    write_file(model / "tokenizer.json", read_text(kGolden / "llama3_bytelevel/tokenizer.json"));
    write_file(model / "tokenizer_config.json", R"({"eos_token": {"content": "<|end_of_text|>"}})");
    return Tokenizer::load(model);
  }
};

TEST_F(Windows, IdsAreCutAsTheyStand) {
  const auto windows = evaluation_windows(ids_file(1, {0, 1, 2, 3, 4, 5, 6}), nullptr, 3, 10, 0);
  EXPECT_THAT(windows.ids, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(windows.count(), 2);
  EXPECT_EQ(windows.facts.tokens, 7);
  EXPECT_EQ(windows.facts.dropped_tokens, 1);
  const auto training = training_windows(ids_file(1, {0, 1, 2, 3, 4, 5, 6}), nullptr, 2, 10);
  EXPECT_EQ(training.window, 3);
  EXPECT_THAT(training.at(1), ElementsAre(3, 4, 5));
}

TEST_F(Windows, ReadyMadeWindowsStay) {
  DataSpec spec = ids_file(2, {0, 1, 2, 3, 4, 5});
  for (const auto& windows : {evaluation_windows(spec, nullptr, 2048, 10, 0),
                              training_windows(spec, nullptr, 2048, 10)}) {
    EXPECT_EQ(windows.window, 3);
    EXPECT_THAT(windows.at(1), ElementsAre(3, 4, 5));
  }
  spec.length = 2;
  EXPECT_THAT(error_of([&] { evaluation_windows(spec, nullptr, 2, 10, 0); }), HasSubstr("3 ids"));
}

TEST_F(Windows, ErrorsHaveNumbers) {
  const auto refused = [&](int64_t window, int64_t vocab) {
    return error_of([&] {
      evaluation_windows(ids_file(1, {0, 1, 9, 3}), nullptr, window, vocab, 0);
    });
  };
  EXPECT_THAT(refused(5, 10), HasSubstr("has 4 tokens, and one window needs 5"));
  EXPECT_THAT(refused(2, 9),
              HasSubstr("the id 9 at position 2 is outside the model's vocabulary (0 to 8)"));
  const DataSpec negative = ids_file(1, {0, -1});
  EXPECT_THAT(error_of([&] { evaluation_windows(negative, nullptr, 1, 9, 0); }),
              HasSubstr("-1 at position 1"));
  EXPECT_THAT(error_of([&] { evaluation_windows(file("a.txt", "x"), nullptr, 1, 9, 0); }),
              HasSubstr("needs a tokenizer"));
}

TEST_F(Windows, SamplesAreDrawnWithTheSeedAndKeepTheirOrder) {
  std::vector<int64_t> ids(100);
  for (size_t i = 0; i < 100; ++i) ids[i] = static_cast<int64_t>(i);
  DataSpec spec = ids_file(1, ids);
  spec.samples = 5;
  spec.length = 2;
  const auto first = evaluation_windows(spec, nullptr, 50, 100, 7);
  EXPECT_EQ(first.count(), 5);
  EXPECT_TRUE(std::is_sorted(first.ids.begin(), first.ids.end()));
  EXPECT_EQ(evaluation_windows(spec, nullptr, 50, 100, 7).ids, first.ids);
  EXPECT_NE(evaluation_windows(spec, nullptr, 50, 100, 8).ids, first.ids);
  spec.samples = 1000;
  EXPECT_EQ(evaluation_windows(spec, nullptr, 50, 100, 7).count(), 50);
  spec.skip = 0.5;
  EXPECT_EQ(evaluation_windows(spec, nullptr, 50, 100, 7).ids.front(), 50);
}

TEST_F(Windows, EvaluationJoinsDocumentsAndTokenizesOnce) {
  const auto model = tokenizer();
  const DataSpec spec =
      file("a.jsonl", "{\"text\": \"Hello world\"}\n{\"text\": \"two  spaces\"}\n");
  const auto windows = evaluation_windows(spec, model.get(), 4, model->vocab_size(), 0);
  auto expected = model->encode("Hello world\n\ntwo  spaces");
  EXPECT_EQ(windows.facts.tokens, std::ssize(expected));
  expected.resize(expected.size() / 4 * 4);
  EXPECT_EQ(windows.ids, expected);
  EXPECT_EQ(windows.facts.bos_added, 1);
  EXPECT_EQ(windows.facts.documents, 2);
  EXPECT_EQ(windows.facts.tokenizer_hash, model->hash());
}

TEST_F(Windows, TrainingPacksDocumentsWithBeginAndEnd) {
  const auto model = tokenizer();
  std::string lines;
  std::vector<int32_t> expected;
  for (int i = 0; i < 100; ++i) {
    const std::string text = "document number " + std::to_string(i);
    lines += "{\"text\": \"" + text + "\"}\n";
    const auto ids = model->encode(text);
    expected.insert(expected.end(), ids.begin(), ids.end());
    expected.push_back(1);
  }
  const DataSpec spec = file("a.jsonl", lines);
  expected.resize(expected.size() / 9 * 9);
  for (const int threads : {1, 4}) {
    set_thread_count(threads);
    const auto windows = training_windows(spec, model.get(), 8, model->vocab_size());
    EXPECT_EQ(windows.window, 9);
    EXPECT_EQ(windows.ids, expected);
    EXPECT_EQ(windows.facts.bos_added, 100);
  }
  const auto endless = Tokenizer::load(kGolden / "llama3_bytelevel");
  EXPECT_THAT(error_of([&] { training_windows(spec, endless.get(), 8, 1000); }),
              HasSubstr("names no end token"));
}

}  // namespace
}  // namespace attar
