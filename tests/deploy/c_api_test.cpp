// The C interface on the golden models: the numbers and texts that the library itself gives, and
// what it says about mistakes.
#include "compress/deploy/attar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "compress/formats/safetensors.h"
#include "compress/tokenizer/unicode.h"
#include "tests/support/byte_model.h"
#include "tests/support/encoder_model.h"

namespace attar {
namespace {

using testing::beside;
using testing::golden;

using ModelHandle = std::unique_ptr<attar_model, decltype(&attar_model_free)>;
using SessionHandle = std::unique_ptr<attar_session, decltype(&attar_session_free)>;

ModelHandle open(const fs::path& path, const attar_model_options* options = nullptr) {
  attar_model* model = nullptr;
  EXPECT_EQ(attar_model_open(path.c_str(), options, &model), ATTAR_OK) << attar_last_error();
  return {model, attar_model_free};
}

SessionHandle start(const ModelHandle& model) {
  attar_session* session = nullptr;
  EXPECT_EQ(attar_session_new(model.get(), &session), ATTAR_OK) << attar_last_error();
  return {session, attar_session_free};
}

int append(const char* piece, size_t length, void* user) {
  EXPECT_EQ(find_invalid_utf8({piece, length}), std::nullopt) << piece;
  EXPECT_EQ(piece[length], '\0');
  static_cast<std::string*>(user)->append(piece, length);
  return 0;
}

std::string write(attar_session* session, int64_t limit, double temperature = 0) {
  attar_sampling sampling{};
  sampling.max_new_tokens = limit;
  sampling.temperature = temperature;
  sampling.seed = 5;
  std::string text;
  EXPECT_EQ(attar_session_generate(session, &sampling, append, &text, nullptr), ATTAR_OK)
      << attar_last_error();
  return text;
}

std::string write(const ModelHandle& model, const std::string& prompt, int64_t limit,
                  double temperature = 0) {
  const auto session = start(model);
  EXPECT_EQ(attar_session_prompt(session.get(), prompt.c_str()), ATTAR_OK) << attar_last_error();
  return write(session.get(), limit, temperature);
}

class CInterface : public ::testing::Test {
 protected:
  void SetUp() override { root_ = testing::make_test_directory("c-api"); }
  void TearDown() override { fs::remove_all(root_); }
  ModelHandle byte_model() { return open(testing::make_byte_model(root_ / "bytes")); }
  fs::path root_;
};

TEST_F(CInterface, LogitsAndGreedyIdsEqualTheReference) {
  const auto model = open(golden("llama_gqa"));
  EXPECT_EQ(attar_model_task(model.get()), ATTAR_WRITES_TEXT);
  ASSERT_EQ(attar_model_vocab(model.get()), 256);
  EXPECT_EQ(attar_model_width(model.get()), 256);
  EXPECT_EQ(attar_model_positions(model.get()), 128);
  EXPECT_EQ(attar_model_label(model.get(), 0), nullptr);
  EXPECT_STREQ(attar_model_notes(model.get()), "");
  const auto reference = Safetensors::open(golden("llama_gqa") / "golden.safetensors");
  const auto ids_of = [&](const char* name) {
    const auto wide = reference.at(name).integers();
    return std::vector<int32_t>(wide.begin(), wide.end());
  };
  const auto ids = ids_of("input_ids");
  const auto expected = reference.at("logits").floats();
  const auto session = start(model);
  std::vector<float> logits(256);
  ASSERT_EQ(attar_session_read(session.get(), ids.data(), 24, logits.data()), ATTAR_OK);
  EXPECT_EQ(attar_session_position(session.get()), 24);
  for (size_t i = 0; i < 256; ++i) EXPECT_NEAR(logits[i], expected[23 * 256 + i], 1e-4);

  const auto prompt = ids_of("prompt_ids");
  ASSERT_EQ(attar_session_clear(session.get()), ATTAR_OK);
  ASSERT_EQ(attar_session_read(session.get(), prompt.data(), prompt.size(), logits.data()),
            ATTAR_OK);
  for (const int32_t want : ids_of("greedy_ids")) {
    const auto id =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    EXPECT_EQ(id, want);
    ASSERT_EQ(attar_session_read(session.get(), &id, 1, logits.data()), ATTAR_OK);
  }
}

TEST_F(CInterface, TextBecomesIdsAndBack) {
  const auto model = byte_model();
  const std::string text = "né €";
  std::vector<int32_t> ids(16);
  size_t count = 0;
  ASSERT_EQ(attar_tokenize(model.get(), text.c_str(), 1, ids.data(), ids.size(), &count), ATTAR_OK);
  ids.resize(count);
  EXPECT_EQ(ids, (std::vector<int32_t>{'n', 0xc3, 0xa9, ' ', 0xe2, 0x82, 0xac}));
  std::string back(16, '?');
  size_t length = 0;
  ASSERT_EQ(attar_detokenize(model.get(), ids.data(), count, 0, back.data(), 8, &length), ATTAR_OK);
  EXPECT_EQ(back.substr(0, length + 1), text + '\0');

  EXPECT_EQ(attar_tokenize(model.get(), text.c_str(), 1, nullptr, 0, &count),
            ATTAR_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, 7u);
  EXPECT_EQ(attar_detokenize(model.get(), ids.data(), 7, 0, back.data(), 7, &length),
            ATTAR_BUFFER_TOO_SMALL);
  EXPECT_EQ(length, 7u);
  EXPECT_NE(std::string(attar_last_error()).find("room for 8, not 7"), std::string::npos);
}

TEST_F(CInterface, WritesWholeCharactersAndGoesOn) {
  const auto model = byte_model();
  for (const double temperature : {0.0, 3.0}) {
    const std::string text = write(model, "né", 60, temperature);
    EXPECT_FALSE(text.empty());
    EXPECT_EQ(write(model, "né", 60, temperature), text);
  }
  const auto session = start(model);
  ASSERT_EQ(attar_session_prompt(session.get(), "n"), ATTAR_OK);
  ASSERT_EQ(attar_session_prompt(session.get(), "é"), ATTAR_OK);
  EXPECT_EQ(write(session.get(), 60), write(model, "né", 60));
  EXPECT_EQ(attar_session_position(session.get()), 63);
}

TEST_F(CInterface, StopsForTheCallbackTheLimitAndTheLastPosition) {
  const auto model = byte_model();
  const auto session = start(model);
  ASSERT_EQ(attar_session_prompt(session.get(), "abc"), ATTAR_OK);
  attar_sampling sampling{};
  sampling.temperature = 3;
  attar_generated result{};
  const auto once = [](const char*, size_t, void* user) { return ++*static_cast<int*>(user); };
  int calls = 0;
  ASSERT_EQ(attar_session_generate(session.get(), &sampling, once, &calls, &result), ATTAR_OK);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(result.stop, ATTAR_STOP_CALLBACK);

  sampling.max_new_tokens = 2;
  ASSERT_EQ(attar_session_generate(session.get(), &sampling, nullptr, nullptr, &result), ATTAR_OK);
  EXPECT_EQ(result.stop, ATTAR_STOP_LIMIT);
  EXPECT_EQ(result.tokens, 2);

  sampling.max_new_tokens = 0;
  for (int i = 0; i < 20 && result.stop != ATTAR_STOP_POSITION; ++i, ++sampling.seed)
    ASSERT_EQ(attar_session_generate(session.get(), &sampling, nullptr, nullptr, &result),
              ATTAR_OK);
  EXPECT_EQ(result.stop, ATTAR_STOP_POSITION);
  EXPECT_EQ(attar_session_position(session.get()), 128);
  ASSERT_EQ(attar_session_generate(session.get(), &sampling, nullptr, nullptr, &result), ATTAR_OK);
  EXPECT_EQ(result.tokens, 0);
}

TEST_F(CInterface, ConversationsGoOnWhereTheyAgree) {
  const auto model = byte_model();
  const std::string first = R"([{"role": "user", "content": "hi"}])";
  const std::string second = R"([{"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yes"}, {"role": "user", "content": "why?"}])";
  const auto session = start(model), other = start(model);
  ASSERT_EQ(attar_session_chat(session.get(), first.c_str()), ATTAR_OK) << attar_last_error();
  EXPECT_EQ(attar_session_position(session.get()), 20);  // <user>hi\n<assistant>
  const std::string answer = write(session.get(), 5);
  EXPECT_EQ(answer, write(model, "<user>hi\n<assistant>", 5));
  ASSERT_EQ(attar_session_chat(session.get(), second.c_str()), ATTAR_OK) << attar_last_error();
  ASSERT_EQ(attar_session_chat(other.get(), second.c_str()), ATTAR_OK);
  const std::string expected = write(other.get(), 30);
  EXPECT_EQ(write(session.get(), 30), expected);
  const auto continued = start(model);
  ASSERT_EQ(attar_session_chat(continued.get(), first.c_str()), ATTAR_OK);
  ASSERT_EQ(attar_session_chat(continued.get(), second.c_str()), ATTAR_OK);
  EXPECT_EQ(write(continued.get(), 30), expected);

  for (const char* wrong :
       {"", "{}", "[]", "[1]", R"([{"role": "user"}])", R"([{"role": "user", "content": 1}])",
        R"([{"role": "user", "content": "x", "name": "y"}])"}) {
    EXPECT_EQ(attar_session_chat(session.get(), wrong), ATTAR_BAD_INPUT) << wrong;
    EXPECT_NE(std::string(attar_last_error()).find("messages_json"), std::string::npos);
  }
  fs::remove(root_ / "bytes" / "chat_template.jinja");
  EXPECT_EQ(attar_session_chat(session.get(), first.c_str()), ATTAR_BAD_INPUT);
  EXPECT_NE(std::string(attar_last_error()).find("no chat template"), std::string::npos);
}

TEST_F(CInterface, SessionsOfSeveralThreadsShareAModel) {
  const auto model = byte_model();
  const std::vector<std::string> prompts = {"one", "two", "three"};
  std::vector<std::string> alone, together(prompts.size());
  for (const auto& prompt : prompts) alone.push_back(write(model, prompt, 40, 2.0));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < prompts.size(); ++i)
    threads.emplace_back([&, i] { together[i] = write(model, prompts[i], 40, 2.0); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(together, alone);
  ASSERT_EQ(attar_set_threads(1), ATTAR_OK);
  EXPECT_EQ(write(model, "one", 40, 2.0), alone[0]);
  EXPECT_EQ(attar_set_threads(0), ATTAR_BAD_INPUT);
}

TEST_F(CInterface, ASessionOutlivesItsModel) {
  auto model = byte_model();
  const std::string expected = write(model, "abc", 20);
  const auto session = start(model);
  model.reset();
  ASSERT_EQ(attar_session_prompt(session.get(), "abc"), ATTAR_OK);
  EXPECT_EQ(write(session.get(), 20), expected);
  attar_model_free(nullptr);
  attar_session_free(nullptr);
}

TEST_F(CInterface, LabelsAndEmbedsTexts) {
  const auto router = open(testing::make_encoder("bert_cls", root_ / "router"));
  ASSERT_EQ(attar_model_task(router.get()), ATTAR_CLASSIFIES);
  ASSERT_EQ(attar_model_width(router.get()), 3);
  EXPECT_STREQ(attar_model_label(router.get(), 1), "LABEL_1");
  EXPECT_EQ(attar_model_label(router.get(), 3), nullptr);
  const char* texts[] = {"the cat", "a dog and the cat"};
  float scores[6] = {};
  ASSERT_EQ(attar_classify(router.get(), texts, nullptr, 2, 0, scores), ATTAR_OK)
      << attar_last_error();
  EXPECT_NEAR(scores[0] + scores[1] + scores[2], 1, 1e-6);
  float second[3] = {}, pair[3] = {};
  ASSERT_EQ(attar_classify(router.get(), texts + 1, nullptr, 1, 0, second), ATTAR_OK);
  EXPECT_TRUE(std::equal(second, second + 3, scores + 3));
  ASSERT_EQ(attar_classify(router.get(), texts, texts + 1, 1, 0, pair), ATTAR_OK);
  EXPECT_NE(pair[0], scores[0]);

  std::string text;
  for (int i = 0; i < 100; ++i) text += "the ";
  const char* long_text = text.c_str();
  EXPECT_EQ(attar_classify(router.get(), &long_text, nullptr, 1, 0, scores), ATTAR_BAD_INPUT);
  EXPECT_NE(std::string(attar_last_error()).find("texts[0]"), std::string::npos);
  EXPECT_EQ(attar_classify(router.get(), &long_text, nullptr, 1, 1, scores), ATTAR_OK);

  const fs::path embedder = testing::make_encoder("bert_embed", root_ / "embedder");
  std::ofstream(embedder / "modules.json")
      << R"([{"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}])";
  const auto encoder = open(embedder);
  ASSERT_EQ(attar_model_task(encoder.get()), ATTAR_EMBEDS);
  std::vector<float> vector(static_cast<size_t>(attar_model_width(encoder.get())));
  ASSERT_EQ(attar_embed(encoder.get(), texts, 1, 0, vector.data()), ATTAR_OK);
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(squares, 1, 1e-6);
  EXPECT_EQ(attar_classify(encoder.get(), texts, nullptr, 1, 0, scores), ATTAR_BAD_INPUT);
  attar_session* session = nullptr;
  EXPECT_EQ(attar_session_new(encoder.get(), &session), ATTAR_BAD_INPUT);
}

/// Expects this status, and a message with all of these parts.
void expect_error(attar_status got, attar_status want, std::initializer_list<const char*> parts) {
  EXPECT_EQ(got, want);
  for (const char* part : parts)
    EXPECT_NE(std::string(attar_last_error()).find(part), std::string::npos) << attar_last_error();
}

TEST_F(CInterface, SaysWhatIsWrongWithAModel) {
  attar_model* model = nullptr;
  const auto opened = [&](const fs::path& path, attar_model_options options = {}) {
    return attar_model_open(path.c_str(), &options, &model);
  };
  expect_error(opened(root_ / "none"), ATTAR_BAD_INPUT, {"error: ", "  where: ", "none"});
  expect_error(attar_model_open(nullptr, nullptr, &model), ATTAR_BAD_INPUT, {"NULL", "path"});
  const fs::path bytes = testing::make_byte_model(root_ / "bytes");
  expect_error(opened(bytes, {"int7", nullptr, 0}), ATTAR_BAD_INPUT, {"int7", "activations"});
  expect_error(opened(bytes, {nullptr, "int7", 0}), ATTAR_BAD_INPUT, {"int7", "kv_cache"});
  EXPECT_EQ(opened(bytes, {"int8", "int8", 0}), ATTAR_OK);
  attar_model_free(model);
  fs::resize_file(bytes / "model.safetensors", fs::file_size(bytes / "model.safetensors") - 100);
  expect_error(opened(bytes), ATTAR_BAD_INPUT, {"model.safetensors"});
}

TEST_F(CInterface, SaysWhatIsWrongWithACall) {
  const auto model = byte_model(), mute = open(golden("llama_gqa"));
  const auto session = start(model), ids_only = start(mute);
  attar_sampling sampling{};
  const auto generated = [&] {
    return attar_session_generate(session.get(), &sampling, nullptr, nullptr, nullptr);
  };
  expect_error(generated(), ATTAR_BAD_INPUT, {"nothing to continue"});
  ASSERT_EQ(attar_session_prompt(session.get(), ""), ATTAR_OK);  // BOS
  sampling.top_p = 1.5;
  expect_error(generated(), ATTAR_BAD_INPUT, {"top-p", "(0, 1]"});
  sampling = {};
  sampling.max_new_tokens = -1;
  expect_error(generated(), ATTAR_BAD_INPUT, {"max_new_tokens"});
  expect_error(attar_session_prompt(session.get(), "\xff"), ATTAR_BAD_INPUT, {"UTF-8"});
  const std::string text(200, 'x');
  expect_error(attar_session_prompt(session.get(), text.c_str()), ATTAR_BAD_INPUT, {"128"});
  EXPECT_EQ(attar_session_position(session.get()), 1);
  const int32_t outside = 256;
  expect_error(attar_session_read(session.get(), &outside, 1, nullptr), ATTAR_BAD_INPUT, {"256"});
  expect_error(attar_session_prompt(ids_only.get(), "x"), ATTAR_BAD_INPUT, {"no tokenizer"});
  const auto throwing = [](const char*, size_t, void*) -> int { throw std::runtime_error("mine"); };
  expect_error(attar_session_generate(session.get(), nullptr, throwing, nullptr, nullptr),
               ATTAR_FAILED, {"mine"});
}

TEST_F(CInterface, StartsFromPackedWeightsKeptBesideTheModel) {
  const auto path = testing::make_byte_model(root_ / "packed");
  const std::string plain = write(open(path), "abc", 30);
  attar_model_options options{};
  options.packed_cache = 1;
  for (int i = 0; i < 2; ++i) {  // written, then read
    EXPECT_EQ(write(open(path, &options), "abc", 30), plain);
    EXPECT_TRUE(fs::exists(path / "attar-packed.bin"));
  }
  std::ofstream(path / "attar-packed.bin") << "another file";
  attar_model* model = nullptr;
  EXPECT_EQ(attar_model_open(path.c_str(), &options, &model), ATTAR_BAD_INPUT);
  EXPECT_NE(std::string(attar_last_error()).find("attar-packed.bin"), std::string::npos);
}

TEST(CInterfaceStories, GreedyTextEqualsThePublishedOneInOneGoAndInPieces) {
  const auto path = beside("models/stories260K-hf");
  ATTAR_NEEDS(path);
  const auto model = open(path);
  const auto want = testing::slurp(path / "golden_greedy.txt");
  const std::string text = write(model, "", 256);
  EXPECT_EQ(text.substr(0, want.size()), want);
  const auto session = start(model);
  ASSERT_EQ(attar_session_prompt(session.get(), ""), ATTAR_OK);
  std::string pieces;
  for (int i = 0; i < 64; ++i) pieces += write(session.get(), 4);
  EXPECT_EQ(pieces, text);
  // The space before the first word is there.
  EXPECT_TRUE(write(model, "Once upon", 8).starts_with(" a time"));
}

}  // namespace
}  // namespace attar
