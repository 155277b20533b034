#include "compress/deploy/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <sstream>
#include <system_error>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"

namespace attar {
namespace {

void print_help(const Command& command, const po::options_description& options) {
  std::ostringstream table;
  table << options;
  fmt::print("{}\n\n{}\n\n{}\nExamples:\n", command.usage(), command.summary, table.str());
  std::istringstream examples{std::string(command.examples)};
  for (std::string line; std::getline(examples, line);) fmt::print("  {}\n", line);
}

/// "--threads", "--model": what the parser of `options` knows.
std::vector<std::string> option_names(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back("--" + option->long_name());
  return names;
}

/// Runs boost's parser and turns its errors into ours.
po::variables_map read(const Command& command, const std::vector<std::string>& args,
                       const po::options_description& options,
                       const po::positional_options_description& positional,
                       const std::function<bool(const po::variables_map&)>& wants_help,
                       const Rewrite& rewrite) {
  const std::string usage = command.usage();
  const auto is_positional = [&](const std::string& name) {
    for (unsigned i = 0; i < positional.max_total_count() && i < 64; ++i)
      if (positional.name_for_position(i) == name) return true;
    return false;
  };
  const auto plain = [](std::string name) {
    name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
    return name;
  };
  try {
    po::variables_map values;
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    auto parsed =
        po::command_line_parser(args).options(options).positional(positional).style(style).run();
    po::store(parsed, values);
    if (wants_help(values)) return values;
    po::notify(values);
    if (values.count("quiet")) set_quiet(true);
    if (!rewrite || !rewrite(parsed)) return values;
    po::variables_map rewritten;
    po::store(parsed, rewritten);
    po::notify(rewritten);
    return rewritten;
  } catch (const po::unknown_option& error) {
    const std::string name = error.get_option_name();
    throw bad_input("unknown option '" + name + "'", {},
                    suggest("--" + plain(name), option_names(options)));
  } catch (const po::required_option& error) {
    const std::string name = plain(error.get_option_name());
    throw bad_input(is_positional(name) ? fmt::format("{} is missing", name)
                                        : fmt::format("option --{} is required", name),
                    {}, usage);
  } catch (const po::too_many_positional_options_error&) {
    throw bad_input("too many arguments", {}, usage);
  } catch (const po::error& error) {
    throw bad_input(error.what(), {}, usage);
  }
}

void flush_results() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw failure("cannot write to standard output", {}, "the reader is gone, or the disk is full");
}

int report(const Error& error) {
  fmt::print(stderr, "{}", error.block());
  return static_cast<int>(error.code());
}

}  // namespace

std::string Command::usage() const {
  return fmt::format("usage: {}{}{} {}", program, name.empty() ? "" : " ", name, synopsis);
}

Parsed parse_command(const Command& command, const std::vector<std::string>& args,
                     po::options_description options,
                     const po::positional_options_description& positional, const Rewrite& rewrite) {
  int64_t threads = 0;
  options.add_options()("threads", po::value(&threads),
                        "how many threads compute; default: all processors")(
      "quiet", "no progress, only errors on standard error")("json", "results as JSON")(
      "help", "this text");
  const auto wants_help = [](const po::variables_map& values) { return values.count("help") > 0; };
  Parsed parsed;
  parsed.values = read(command, args, options, positional, wants_help, rewrite);
  if (wants_help(parsed.values)) {
    print_help(command, options);
    parsed.help_shown = true;
    return parsed;
  }
  if (parsed.values.count("threads")) {
    if (threads < 1 || threads > 1024)
      throw bad_input(fmt::format("--threads must be between 1 and 1024, not {}", threads));
    set_thread_count(static_cast<int>(threads));
  }
  if (parsed.values.count("quiet")) set_quiet(true);
  parsed.json = parsed.values.count("json") > 0;
  return parsed;
}

void add_packed_cache(po::options_description& options, bool& wanted) {
  options.add_options()("packed-cache", po::bool_switch(&wanted),
                        "start from packed weights kept beside the model (attar-packed.bin); "
                        "written when absent or outdated");
}

int guarded_main(const std::function<int()>& body) {
  try {
    const int code = body();
    flush_results();
    return code;
  } catch (const Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    return report(
        failure("out of memory", {}, "use shorter windows, smaller batches, fewer samples"));
  } catch (const std::system_error& error) {
    return report(failure(error.what(), {}, "check free space, permissions and standard output"));
  } catch (const std::exception& error) {
    return report(failure(std::string("internal error: ") + error.what(), {},
                          "please report this, with the command and its input"));
  }
}

}  // namespace attar
