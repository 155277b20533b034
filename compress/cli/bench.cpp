// attar bench: how fast the kernels and a model are on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/cli/command.h"
#include "compress/formats/weights.h"
#include "compress/kernels/benchmark.h"
#include "compress/runtime/speed.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const KernelSpeed& row) {
  return {{"format", row.format},
          {"group", row.group},
          {"activations", row.activations},
          {"m", row.m},
          {"k", row.k},
          {"n", row.n},
          {"threads", row.threads},
          {"isa", row.isa},
          {"value", row.value},
          {"unit", row.unit},
          {"ceiling", row.ceiling},
          {"fraction", row.fraction}};
}

void bench_kernels(const KernelBenchmark& options, bool json) {
  Json rows = Json::array();
  if (!json)
    fmt::print("{:<8}{:>6}  {:<12}{:>6}{:>7}{:>7}{:>10} {:<8}{:>10}{:>10}\n", "format", "group",
               "activations", "m", "k", "n", "value", "", "ceiling", "fraction");
  benchmark_kernels(options, [&](const KernelSpeed& row) {
    if (json) {
      rows.push_back(to_json(row));
      return;
    }
    fmt::print("{:<8}{:>6}  {:<12}{:>6}{:>7}{:>7}{:>10.1f} {:<8}{:>10.1f}{:>9.0f}%\n", row.format,
               row.group, row.activations, row.m, row.k, row.n, row.value, row.unit, row.ceiling,
               100 * row.fraction);
    std::fflush(stdout);
  });
  if (json)
    fmt::print("{}\n", rows.dump(2));
  else
    say(fmt::format("{} threads, {}", thread_count(), kernel_name()));
}

void bench_encoder(const Model& opened, const SpeedOptions& options, const RuntimeOptions& runtime,
                   bool json) {
  const auto model = EncoderModel::load(opened, runtime);
  const EncoderSpeed speed = measure_speed(*model, options);
  const Rate &text = speed.text_tokens_per_s, &batch = speed.batch_tokens_per_s;
  const double texts_per_s = batch.median / static_cast<double>(speed.ids);
  if (json) {
    const Json result = {
        {"prefill_tokens_per_s", text.median},
        {"decode_tokens_per_s", nullptr},  // an encoder writes nothing
        {"batch_tokens_per_s", batch.median},
        {"batch_texts_per_s", texts_per_s},
        {"spread", std::max(text.spread, batch.spread)},
        {"text_seconds", speed.text_seconds},
        {"peak_rss_bytes", peak_rss_bytes()},
        {"packed_bytes", model->bytes()},
        {"prompt", options.prompt},
        {"batch", EncoderSpeed::kBatch},
        {"batch_ids", speed.ids},
        {"repetitions", options.repetitions},
        {"activations", to_string(runtime.activations)},
        {"threads", thread_count()},
        {"isa", kernel_name()},
    };
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("a text of {:>6}  {:>10.1f} tokens/s  ± {:.1f} %  ({:.1f} ms)\n", options.prompt,
             text.median, 50 * text.spread, 1e3 * speed.text_seconds);
  fmt::print("{} texts of {:>4}  {:>10.1f} tokens/s  ± {:.1f} %  ({:.1f} texts/s)\n",
             EncoderSpeed::kBatch, speed.ids, batch.median, 50 * batch.spread, texts_per_s);
  fmt::print("packed weights   {:>10.1f} MB, peak memory {:.1f} MB\n",
             1e-6 * static_cast<double>(model->bytes()),
             1e-6 * static_cast<double>(peak_rss_bytes()));
  say(fmt::format("{} threads, {}, median of {}", thread_count(), kernel_name(),
                  options.repetitions));
}

void bench_model(const std::string& path, const SpeedOptions& options,
                 const RuntimeOptions& runtime, bool json) {
  reset_peak_rss();
  const auto start = std::chrono::steady_clock::now();
  const Model opened = open_model(path);
  if (opened.spec.task != Task::causal_lm) return bench_encoder(opened, options, runtime, json);
  const auto model = RuntimeModel::load(opened, runtime);
  const double load =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Speed speed = measure_speed(model, options);
  const Rate &prefill = speed.prefill_tokens_per_s, &decode = speed.decode_tokens_per_s,
             &batch = speed.batch_tokens_per_s;
  if (json) {
    const Json result = {
        {"prefill_tokens_per_s", prefill.median},
        {"decode_tokens_per_s", decode.median},
        {"batch_decode_tokens_per_s", batch.median},
        {"spread", std::max(prefill.spread, decode.spread)},
        {"prefill_spread", prefill.spread},
        {"decode_spread", decode.spread},
        {"batch_decode_spread", batch.spread},
        {"first_token_seconds", speed.first_token_seconds},
        {"load_seconds", load},
        {"peak_rss_bytes", speed.peak_rss_bytes},
        {"packed_bytes", model->bytes()},
        {"step_bytes", model->step_bytes()},
        {"read_bandwidth_gb_per_s", speed.read_bandwidth},
        {"decode_bandwidth_share", speed.decode_share},
        {"prompt", options.prompt},
        {"generate", options.generate},
        {"batch", options.batch},
        {"kv_cache", to_string(runtime.kv)},
        {"repetitions", options.repetitions},
        {"activations", to_string(runtime.activations)},
        {"threads", thread_count()},
        {"isa", kernel_name()},
    };
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("prefill of {:>5}  {:>10.1f} tokens/s  ± {:.1f} %\n", options.prompt, prefill.median,
             50 * prefill.spread);
  fmt::print(
      "decode of {:>6}  {:>10.1f} tokens/s  ± {:.1f} %  ({:.1f} MB of weights a token: {:.0f} % of "
      "the {:.1f} GB/s that memory gives)\n",
      options.generate, decode.median, 50 * decode.spread,
      1e-6 * static_cast<double>(model->step_bytes()), 100 * speed.decode_share,
      speed.read_bandwidth);
  fmt::print("decode, {:>3} at once {:>7.1f} tokens/s  ± {:.1f} %\n", options.batch, batch.median,
             50 * batch.spread);
  fmt::print("first token      {:>10.1f} ms\n", 1e3 * speed.first_token_seconds);
  fmt::print("load             {:>10.1f} ms\n", 1e3 * load);
  fmt::print("packed weights   {:>10.1f} MB, peak memory {:.1f} MB\n",
             1e-6 * static_cast<double>(model->bytes()),
             1e-6 * static_cast<double>(speed.peak_rss_bytes));
  say(fmt::format("{} threads, {}, median of {}", thread_count(), kernel_name(),
                  options.repetitions));
}

/// One thread's speed on a text, and the time to load the vocabulary.
void bench_tokenizer(const std::string& path, const std::string& file, int repetitions, bool json) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const std::string text = read_text(file);
  if (text.empty()) throw bad_input("the text is empty", file);
  if (repetitions < 1) throw bad_input("at least one repetition is needed", "--repetitions");
  std::vector<double> loads, rates;
  size_t ids = 0;
  for (int i = 0; i < repetitions; ++i) {
    auto start = Clock::now();
    const auto tokenizer = Tokenizer::load(path);
    loads.push_back(1e3 * since(start));
    start = Clock::now();
    ids = tokenizer->encode(text).size();
    rates.push_back(1e-6 * static_cast<double>(text.size()) / since(start));
  }
  const auto median = [](std::vector<double>& values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  const double load = median(loads), rate = median(rates);
  if (json)
    fmt::print("{}\n", Json{{"encode_mb_per_s", rate},
                            {"load_ms", load},
                            {"ids", ids},
                            {"bytes", text.size()},
                            {"repetitions", repetitions}}
                           .dump(2));
  else
    fmt::print(
        "encode  {:>8.1f} MB/s on one thread, {:.2f} bytes an id\nload    {:>8.1f} ms\n", rate,
        static_cast<double>(text.size()) / static_cast<double>(std::max<size_t>(ids, 1)), load);
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string what, model, activations, kv, text;
  KernelBenchmark kernel;
  SpeedOptions speed;
  options.add_options()                                                                        //
      ("what", po::value(&what)->required(), "kernels, model or tokenizer")                    //
      ("model", po::value(&model), "model and tokenizer: the directory")                       //
      ("prompt", po::value(&speed.prompt)->default_value(speed.prompt), "model: ids to read")  //
      ("generate", po::value(&speed.generate)->default_value(speed.generate),
       "model: ids to write after them")  //
      ("batch", po::value(&speed.batch)->default_value(speed.batch),
       "model: sequences written side by side, in one more measurement")       //
      ("text", po::value(&text), "tokenizer: a file with the text to encode")  //
      ("activations", po::value(&activations)->default_value("exact"),
       "model: how activations enter products with quantized weights: exact, int16 or int8")  //
      ("kv-cache", po::value(&kv)->default_value("float32"),
       "model: what keys and values are kept as: float32, float16, bfloat16 or int8")  //
      ("repetitions", po::value<int>()->default_value(5),
       "measurements, of which the median counts")                                     //
      ("k", po::value(&kernel.k)->default_value(kernel.k), "kernels: input columns")   //
      ("n", po::value(&kernel.n)->default_value(kernel.n), "kernels: output columns")  //
      ("m", po::value<std::vector<int64_t>>()->multitoken(), "kernels: rows (1, 4 and 512)");
  bool packed_cache = false;
  add_packed_cache(options, packed_cache);
  po::positional_options_description positional;
  positional.add("what", 1).add("model", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  if (packed_cache && what != "model")
    throw bad_input("only a model has packed weights", "--packed-cache");
  speed.bandwidth = true;
  speed.repetitions = kernel.rounds = parsed.values["repetitions"].as<int>();
  if (parsed.values.contains("m")) kernel.m = parsed.values["m"].as<std::vector<int64_t>>();
  if (what == "kernels") {
    if (!model.empty()) throw bad_input("bench kernels takes no model", model);
    bench_kernels(kernel, parsed.json);
  } else if (what == "model") {
    if (model.empty())
      throw bad_input("the model is missing", {}, "usage: attar bench model MODEL");
    bench_model(model, speed,
                {parse_activations(activations, "--activations"), parse_kv_format(kv, "--kv-cache"),
                 packed_cache},
                parsed.json);
  } else if (what == "tokenizer") {
    if (model.empty() || text.empty())
      throw bad_input("the tokenizer or the text is missing", {},
                      "usage: attar bench tokenizer MODEL --text FILE");
    bench_tokenizer(model, text, speed.repetitions, parsed.json);
  } else {
    throw bad_input("unknown benchmark '" + what + "'", {}, "known: kernels, model, tokenizer");
  }
  return 0;
}

}  // namespace

Command bench_command() {
  return {"bench", "kernels | model MODEL | tokenizer MODEL [options]",
          "measures speed, beside what the machine can do at most",
          "attar bench kernels\n"
          "attar bench kernels --k 1024 --n 1024 --m 1 --threads 1 --json\n"
          "attar bench model ./student --prompt 512 --generate 128\n"
          "attar bench tokenizer ./student --text story.txt",
          run};
}

}  // namespace attar::cli
