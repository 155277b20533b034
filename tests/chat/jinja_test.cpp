// Templates against the output of Jinja2 3.1.6 (trim_blocks, lstrip_blocks, loop controls) on the
// same variables.
#include <gtest/gtest.h>

#include "compress/base/error.h"
#include "compress/tokenizer/chat_template.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using jinja::Template;
using jinja::Value;

TEST(Jinja, WritesWhatTheReferenceWrites) {
  const auto golden = Value::parse(testing::slurp(testing::golden("jinja.json")));
  ASSERT_GT(golden["cases"].size(), 15u);
  for (const auto& item : golden["cases"]) {
    const auto source = item["template"].get<std::string>();
    EXPECT_EQ(Template::parse(source, "test").render(golden["variables"]),
              item["text"].get<std::string>())
        << source;
  }
}

TEST(Jinja, WhatItCannotDoIsAnErrorWithItsLine) {
  const Value none = Value::object();
  for (const char* source :
       {"a\n{% include 'x' %}", "\n{{ x | nosuchfilter }}", "\n{{ 1 is nosuchtest }}",
        "\n{{ f() }}", "\n{{ 1 / 0 }}", "\n{{ x.y.z }}", "\n{{ 'a' + 1 }}", "\n{% if x %}",
        "\n{{ 'open", "\n{{ 1 +", "\n{% endfor %}", "\n{{ raise_exception('no') }}", "\n{# open"}) {
    try {
      Template::parse(source, "where").render(none);
      ADD_FAILURE() << "accepted: " << source;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      EXPECT_EQ(error.where(), "where: template line 2") << source;
    }
  }
}

TEST(Jinja, DeepNestingIsRefused) {
  const std::string deep =
      "{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}";
  EXPECT_THROW(Template::parse(deep, "t"), Error);
  EXPECT_THROW(Template::parse("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "t")
                   .render(Value::object()),
               Error);
}

TEST(ChatTemplate, RendersARealModelsTemplate) {
  const auto model = testing::beside("models/teacher-7M");
  ATTAR_NEEDS(model);
  const auto chat = ChatTemplate::load(model);
  ASSERT_TRUE(chat.has_value());
  EXPECT_EQ(chat->render({{"user", "Hi"}, {"assistant", "Yes?"}, {"user", "Add 1 and 2."}}, true),
            "<|bos|><|user|>Hi<|assistant|>Yes?<|eos|><|user|>Add 1 and 2.<|assistant|>");
  EXPECT_THROW(chat->render({{"system", "x"}}, true), Error);
}

TEST(ChatTemplate, AbsentIsNotAnError) {
  EXPECT_FALSE(ChatTemplate::load(testing::golden("llama_gqa")).has_value());
}

}  // namespace
}  // namespace attar
