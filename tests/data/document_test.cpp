#include <gmock/gmock.h>

#include "compress/data/dataset.h"
#include "tests/data/scratch.h"

namespace attar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_data::error_of;

class Documents : public testing_data::Scratch {
 protected:
  std::string refused(const DataSpec& spec) {
    return error_of([&] { load_documents(spec); });
  }
};

TEST_F(Documents, TextIsOneDocumentAsItStands) {
  EXPECT_THAT(load_documents(file("a.txt", " one\n\ntwo \n")), ElementsAre(" one\n\ntwo \n"));
}

TEST_F(Documents, SeparatorLinesPartText) {
  DataSpec spec = file(
      "a.txt", "one\n1\n<|endoftext|>\ntwo\r\n<|endoftext|>\r\n\n<|endoftext|>\nx<|endoftext|>\n");
  spec.split = "<|endoftext|>";
  EXPECT_THAT(load_documents(spec), ElementsAre("one\n1", "two\r", "x<|endoftext|>"));
  spec.split = "---";
  EXPECT_THAT(refused(spec), HasSubstr("no line of"));
}

TEST_F(Documents, DirectoriesAreReadInTheOrderOfPaths) {
  file("d/b/vector", "V");
  file("d/a.h", "A");
  file("d/b.hpp", "B");
  file("d/.hidden", "H");
  file("d/c.bin", "\xff");
  DataSpec spec;
  spec.path = directory_ / "d";
  spec.where = "here";
  spec.include = "*.h *.hpp vector";
  EXPECT_THAT(load_documents(spec), ElementsAre("A", "B", "V"));  // d/a.h d/b.hpp d/b/vector
  spec.include = "*.h *.cc";
  EXPECT_THAT(refused(spec), HasSubstr("matches \"*.cc\""));
  spec.include = "";
  EXPECT_THAT(refused(spec), HasSubstr("c.bin: byte 0"));
  spec.format = "csv";
  EXPECT_THAT(refused(spec), HasSubstr("directory"));
}

TEST_F(Documents, JsonlGivesTheField) {
  DataSpec spec = file("a.jsonl", "{\"text\": \"a\\nb\"}\n\n{\"text\": \"é\", \"x\": 1}");
  EXPECT_THAT(load_documents(spec), ElementsAre("a\nb", "é"));
  spec.field = "txt";
  EXPECT_THAT(refused(spec), AllOf(HasSubstr("a.jsonl:1"), HasSubstr("did you mean 'text'?")));
  EXPECT_THAT(refused(file("b.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n")),
              HasSubstr("b.jsonl:2"));
  EXPECT_THAT(refused(file("c.jsonl", "{\"text\": \"a\"}\n{\"text\": \n")), HasSubstr("c.jsonl:2"));
  EXPECT_THAT(refused(file("d.jsonl", "[1]\n")), HasSubstr("JSON object"));
}

TEST_F(Documents, CsvKnowsQuotes) {
  DataSpec spec =
      file("a.csv",
           "\xEF\xBB\xBFid,text\r\n1,\"say \"\"hi\"\",\nplease\"\r\n2,plain \r\n\r\n3,\r\n4,end");
  EXPECT_THAT(load_documents(spec), ElementsAre("say \"hi\",\nplease", "plain ", "", "end"));
  spec.field = "tekst";
  EXPECT_THAT(refused(spec), HasSubstr("did you mean 'text'?"));
  EXPECT_THAT(refused(file("b.csv", "text,b\n\"x\ny\",2\n1\n")), HasSubstr("b.csv:4"));
  EXPECT_THAT(refused(file("c.csv", "text\nok\n\"open\n")), HasSubstr("c.csv:3"));
  EXPECT_THAT(refused(file("d.csv", "text\n\"a\"b\n")), HasSubstr("behind a closing quote"));
}

TEST_F(Documents, TsvHasNoQuotes) {
  EXPECT_THAT(load_documents(file("a.tsv", "text\tlabel\n\"so, he said\t1\nx\"\t0\n")),
              ElementsAre("\"so, he said", "x\""));
}

TEST_F(Documents, SkipAndTakePartWithoutOverlap) {
  std::string lines;
  for (int i = 0; i < 7; ++i) lines += "{\"text\": \"" + std::to_string(i) + "\"}\n";
  DataSpec spec = file("a.jsonl", lines);
  spec.take = 0.8;
  EXPECT_THAT(load_documents(spec), ElementsAre("0", "1", "2", "3", "4"));
  spec.take.reset();
  spec.skip = 0.8;
  EXPECT_THAT(load_documents(spec), ElementsAre("5", "6"));
  spec.take = 0.15;
  EXPECT_THAT(load_documents(spec), ElementsAre("5"));
  spec.skip = 1.0;
  EXPECT_THAT(refused(spec), HasSubstr("leave nothing of 7 documents"));
  DataSpec text = file("b.txt", "1\n2\n3\n\n5");
  text.take = 0.4;
  EXPECT_THAT(load_documents(text), ElementsAre("1\n2\n"));
  text.skip = 0.4;
  text.take.reset();
  EXPECT_THAT(load_documents(text), ElementsAre("3\n\n5"));
  DataSpec one = file("a.txt", "one");
  one.take = 0.5;
  EXPECT_THAT(refused(one), HasSubstr("split"));
}

TEST_F(Documents, RefusesWhatCannotBeRead) {
  DataSpec absent;
  absent.path = directory_ / "absent.txt";
  EXPECT_THAT(refused(absent), HasSubstr("does not exist"));
  EXPECT_THAT(refused(file("a.xyz", "a")), HasSubstr("format"));
  DataSpec wrong = file("a.txt", "a");
  wrong.format = "jsnol";
  EXPECT_THAT(refused(wrong), HasSubstr("did you mean 'jsonl'?"));
  EXPECT_THAT(refused(file("b.txt", "abc\xc3(")), HasSubstr("b.txt: byte 3"));
  EXPECT_THAT(refused(file("c.txt", "")), HasSubstr("has no text"));
  EXPECT_THAT(refused(file("c.jsonl", "\n")), HasSubstr("has no text"));
  DataSpec chat = file("m.jsonl", "{\"messages\": []}\n");
  chat.messages = "messages";
  EXPECT_THAT(refused(chat), HasSubstr("chat messages"));
}

}  // namespace
}  // namespace attar
