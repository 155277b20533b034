// What the commands promise about encoders, checked through the commands: reference logits and
// vectors, labels and embeddings of texts, and what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/formats/safetensors.h"
#include "tests/support/encoder_model.h"

namespace attar {
namespace {

using nlohmann::json;
using testing::attar;
using testing::golden;

class Encoders : public ::testing::Test {
 protected:
  void SetUp() override { root_ = testing::make_test_directory("contract-encoders"); }
  void TearDown() override { fs::remove_all(root_); }

  fs::path model(const std::string& fixture) {
    return testing::make_encoder(fixture, root_ / fixture);
  }

  fs::path write(const std::string& name, const std::string& content) {
    std::ofstream(root_ / name) << content;
    return root_ / name;
  }

  static std::vector<json> lines(const std::string& out) {
    std::vector<json> rows;
    std::istringstream stream(out);
    for (std::string line; std::getline(stream, line);) rows.push_back(json::parse(line));
    return rows;
  }

  fs::path root_;
};

TEST_F(Encoders, LogitsAndVectorsEqualTheReference) {
  for (const auto& [fixture, tensor, expected] :
       {std::tuple("bert_cls", "logits", "logits"),
        std::tuple("distilbert_cls", "logits", "logits"),
        std::tuple("bert_embed", "embedding", "pooled_mean")}) {
    SCOPED_TRACE(fixture);
    const fs::path out = root_ / "out.safetensors";
    const auto result = attar({"logits", model(fixture), "--input",
                               golden(fixture) / "golden.safetensors", "--output", out});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto written = Safetensors::open(out);
    const auto reference = Safetensors::open(golden(fixture) / "golden.safetensors");
    const auto& want = reference.at(expected);
    EXPECT_EQ(written.at(tensor).shape, want.shape);
    const auto a = written.at(tensor).floats(), b = want.floats();
    float worst = 0;
    for (size_t i = 0; i < b.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
    EXPECT_LT(worst, 1e-4f);
  }
}

TEST_F(Encoders, ClassifyGivesALineATextWhateverTheBatch) {
  const fs::path texts = write("texts.txt", "the cat\na dog and the cat\r\n\nthe dog\n");
  const auto result = attar({"classify", model("bert_cls"), "--file", texts, "--all"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto rows = lines(result.out);
  ASSERT_EQ(rows.size(), 4u);  // the empty line is a text too
  for (const auto& row : rows) {
    double sum = 0, best = 0;
    for (const auto& label : row["scores"]) {
      sum += label["score"].get<double>();
      best = std::max(best, label["score"].get<double>());
    }
    EXPECT_NEAR(sum, 1, 1e-9);
    EXPECT_EQ(row["score"].get<double>(), best);
    EXPECT_TRUE(row["label"].get<std::string>().starts_with("LABEL_"));
  }
  for (const char* batch : {"1", "3"})
    EXPECT_EQ(
        attar({"classify", model("bert_cls"), "--file", texts, "--all", "--batch", batch}).out,
        result.out);
  const auto one = attar({"classify", model("bert_cls"), "--text", "the cat", "--all"});
  EXPECT_EQ(one.out, result.out.substr(0, one.out.size()));
}

TEST_F(Encoders, PairsAreReadWithTheirTypes) {
  const fs::path pairs = write("pairs.tsv", "the cat\tthe dog\n");
  const auto file = attar({"classify", model("bert_cls"), "--file", pairs, "--pairs", "--all"});
  const auto text = attar(
      {"classify", model("bert_cls"), "--text", "the cat", "--text-pair", "the dog", "--all"});
  ASSERT_EQ(file.exit_code, 0) << file.err;
  EXPECT_EQ(file.out, text.out);
  EXPECT_NE(file.out, attar({"classify", model("bert_cls"), "--text", "the cat", "--all"}).out);
  // DistilBERT has no token types.
  const auto refused = attar({"classify", model("distilbert_cls"), "--file", pairs, "--pairs"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("does not read pairs"), std::string::npos) << refused.err;
}

TEST_F(Encoders, EmbedNormalizesAsTheModelSays) {
  const auto length = [&](std::vector<std::string> options) {
    std::vector<std::string> command = {"embed", model("bert_embed"), "--text", "the cat"};
    command.insert(command.end(), options.begin(), options.end());
    const auto result = attar(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    double squares = 0;
    for (const double x : lines(result.out).at(0)["embedding"].get<std::vector<double>>())
      squares += x * x;
    return std::sqrt(squares);
  };
  EXPECT_GT(length({}), 1.5);
  EXPECT_NEAR(length({"--normalize"}), 1, 1e-6);
  std::ofstream(model("bert_embed") / "modules.json")
      << R"([{"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}])";
  EXPECT_NEAR(length({}), 1, 1e-6);
  EXPECT_GT(length({"--no-normalize"}), 1.5);
}

TEST_F(Encoders, LongTextsAreAnErrorOrCutAndCounted) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "the ";
  const fs::path texts = write("long.txt", "the cat\n" + text + "\n");
  const auto refused = attar({"classify", model("bert_cls"), "--file", texts});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("long.txt:2"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("--truncate"), std::string::npos);
  const auto cut = attar({"classify", model("bert_cls"), "--file", texts, "--truncate"});
  EXPECT_EQ(cut.exit_code, 0) << cut.err;
  EXPECT_EQ(lines(cut.out).at(1)["ids_cut"], 54);  // 102 − 48
  EXPECT_NE(cut.err.find("1 of 2 texts were cut to 48 ids"), std::string::npos) << cut.err;
}

TEST_F(Encoders, RefuseWhatDoesNotFit) {
  const auto refused = [&](std::vector<std::string> command, const std::string& part) {
    const auto result = attar(command);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  };
  const std::string bert = model("bert_cls"), embed = model("bert_embed");
  refused({"classify", embed, "--text", "x"}, "no classifier head");
  refused({"embed", bert, "--text", "x"}, "is a classifier");
  refused({"generate", bert, "--prompt", "x"}, "is an encoder");
  refused({"classify", golden("llama_gqa"), "--text", "x"}, "writes text");
  refused({"classify", bert}, "--text and --file");
  refused({"classify", bert, "--text", "x", "--file", "y"}, "--text and --file");
  refused({"classify", bert, "--text", "x", "--pairs"}, "--pairs");
  refused({"classify", bert, "--file", root_ / "none.txt"}, "no such file");
  refused({"classify", bert, "--file", write("a.tsv", "one\n"), "--pairs"}, "a.tsv:1");
  refused({"classify", bert, "--file", write("b.txt", "ok\n\xff\n"), "--batch", "4"}, "b.txt:2");
  refused({"embed", embed, "--text", "x", "--normalize", "--no-normalize"}, "contradict");

  auto config = json::parse(testing::slurp(fs::path(bert) / "config.json"));
  config["id2label"] = {{"0", "yes"}, {"1", "no"}};
  config.erase("label2id");
  write("bert_cls/config.json", config.dump());
  refused({"classify", bert, "--text", "x"}, "(id2label) is 2, but classifier.weight has 3 rows");
}

TEST_F(Encoders, MasksMustFit) {
  const auto input = [&](const std::vector<int64_t>& mask, std::vector<int64_t> shape) {
    const std::vector<int64_t> ids = {2, 5, 6, 3};
    SafetensorsWriter writer(root_ / "in.safetensors", {{"input_ids", DType::i64, {1, 4}},
                                                        {"attention_mask", DType::i64, shape}});
    writer.write("input_ids", std::as_bytes(std::span(ids)));
    writer.write("attention_mask", std::as_bytes(std::span(mask)));
    writer.finish();
    const auto result = attar({"logits", model("bert_cls"), "--input", root_ / "in.safetensors",
                               "--output", root_ / "out.safetensors"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_FALSE(fs::exists(root_ / "out.safetensors"));
    return result.err;
  };
  EXPECT_NE(input({1, 1, 1}, {1, 3}).find("another shape"), std::string::npos);
  EXPECT_NE(input({0, 1, 1, 1}, {1, 4}).find("pad on the right"), std::string::npos);
  EXPECT_NE(input({0, 0, 0, 0}, {1, 4}).find("row 0"), std::string::npos);
}

TEST_F(Encoders, InspectAndBenchKnowThem) {
  const auto inspected = attar({"inspect", model("bert_cls"), "--json"});
  ASSERT_EQ(inspected.exit_code, 0) << inspected.err;
  EXPECT_EQ(json::parse(inspected.out)["task"], "classification");
  EXPECT_EQ(json::parse(inspected.out)["labels"].size(), 3u);
  const auto bench = attar(
      {"bench", "model", model("bert_embed"), "--prompt", "32", "--repetitions", "1", "--json"});
  ASSERT_EQ(bench.exit_code, 0) << bench.err;
  EXPECT_GT(json::parse(bench.out)["prefill_tokens_per_s"], 0);
  EXPECT_TRUE(json::parse(bench.out)["decode_tokens_per_s"].is_null());
}

}  // namespace
}  // namespace attar
