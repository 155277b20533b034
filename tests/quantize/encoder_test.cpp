// Encoders through quantization: calibrated on single texts, written, read and measured again.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "compress/base/error.h"
#include "compress/runtime/encoder.h"
#include "compress/tokenizer/tokenizer.h"
#include "quantize/stage.h"
#include "tests/quantize/run_stage.h"

namespace attar {
namespace {

class QuantizedEncoder : public testing::Test {
 protected:
  /// A golden encoder with a WordPiece tokenizer whose ids fit its vocabulary.
  fs::path model(const std::string& name) const {
    const fs::path directory = home_.path() / name;
    fs::create_directories(directory);
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy_file(golden_model(name) / file, directory / file,
                    fs::copy_options::overwrite_existing);
    const fs::path tokenizers = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/tokenizers";
    auto tokenizer = nlohmann::json::parse(read_text(tokenizers / "bert_wordpiece/tokenizer.json"));
    auto& vocab = tokenizer["model"]["vocab"];
    for (auto entry = vocab.begin(); entry != vocab.end();)
      entry = *entry >= 256 ? vocab.erase(entry) : std::next(entry);
    write_file(directory / "tokenizer.json", tokenizer.dump());
    return directory;
  }

  fs::path texts() const {
    Random random(5);
    std::string text;
    for (int line = 0; line < 40; ++line) {
      for (uint64_t word = 0; word < 2 + random.below(6); ++word)
        for (uint64_t letter = 0; letter < 3; ++letter)
          text += letter == 2 ? ' ' : static_cast<char>('a' + random.below(26));
      text += '\n';
    }
    write_file(home_.path() / "texts.txt", text);
    return home_.path() / "texts.txt";
  }

  static std::vector<float> results(const fs::path& directory) {
    const auto encoder = EncoderModel::load(open_model(directory));
    const auto tokenizer = Tokenizer::load(directory);
    std::vector<EncodedText> encoded;
    for (const char* text : {"the cat", "a much longer text than that", "x"})
      encoded.push_back(tokenizer->encode_text(text, {}, 48));
    std::vector<TextIds> ids;
    for (const auto& text : encoded) ids.push_back({text.ids, text.types});
    return encoder->run(ids);
  }

  const TemporaryDirectory home_;
};

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

TEST_F(QuantizedEncoder, EveryMethodAndModelComesBack) {
  const fs::path data = texts();
  for (const std::string name : {"bert_cls", "bert_embed", "distilbert_cls"}) {
    const fs::path source = model(name);
    const auto before = results(source);
    for (const std::string options : {"method: rtn, scheme: W8A16, group_size: 32",
                                      "method: gptq, scheme: W8A16, group_size: 32"}) {
      const StageRun run =
          run_stage(quantize_stage(), source, data, options + ", data: calibration");
      EXPECT_TRUE(all_passed(run.report)) << name << ": " << run.report.checks.back().detail;
      EXPECT_EQ(run.report.facts["calibration"]["texts"], 40);
      EXPECT_EQ(run.report.layers.size(), 12u);
      const double worst = largest_difference(before, results(run.model));
      EXPECT_LT(worst, 0.05) << name << " " << options;
      EXPECT_GT(worst, 0) << name << " " << options;
    }
  }
}

TEST_F(QuantizedEncoder, HasNoHeadOverAVocabulary) {
  try {
    run_stage(quantize_stage(), model("bert_cls"), texts(),
              "method: rtn, scheme: W8A16, group_size: 32, lm_head: quantize");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_NE(error.block().find("no output head"), std::string::npos) << error.block();
  }
}

}  // namespace
}  // namespace attar
