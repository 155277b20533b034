#include "eval/tasks/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/nearest.h"
#include "compress/base/random.h"

namespace attar::eval {
namespace {

const TaskShape& find_shape(const std::string& name, const TaskRow& row) {
  std::vector<std::string> names;
  std::string hint = "known shapes:";
  for (const auto& shape : task_shapes()) {
    names.emplace_back(shape.name);
    hint += fmt::format("\n    {}: {}", shape.name, shape.summary);
    if (name == shape.name) return shape;
  }
  if (!name.empty())
    throw bad_input("unknown kind of task '" + name + "'", row.where, suggest(name, names));
  for (const auto& shape : task_shapes())
    if (shape.fits(row.json)) return shape;
  std::string keys;
  for (const auto& [key, value] : row.json.items()) keys += (keys.empty() ? "" : ", ") + key;
  throw bad_input("no known kind of task has rows of these fields: " + keys, row.where, hint);
}

/// Keeps `samples` examples in their order, drawn with `seed`; returns their indices in the file.
std::vector<size_t> drawn(size_t count, const std::optional<int64_t>& samples, uint64_t seed) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  if (!samples || *samples >= static_cast<int64_t>(count)) return order;
  Random(seed).shuffle(order);
  order.resize(static_cast<size_t>(*samples));
  std::sort(order.begin(), order.end());
  return order;
}

/// The examples of one group of the file besides number `own`, some of them, in the order drawn.
std::vector<size_t> others(const std::vector<size_t>& group, size_t own, int64_t shots,
                           uint64_t seed, const std::string& where) {
  std::vector<size_t> order = group;
  std::erase(order, own);
  if (static_cast<int64_t>(order.size()) < shots)
    throw bad_input(fmt::format("{} examples are to stand before this one, and there are {} others",
                                shots, order.size()),
                    where, "ask for fewer --shots");
  Random(seed ^ Random(own).next()).shuffle(order);
  order.resize(static_cast<size_t>(shots));
  return order;
}

/// `all` with descriptions and `shots` solved examples before the prompts of those at `chosen`.
std::vector<Example> prompted(const LoadedTask& task, const std::vector<Example>& all,
                              const std::vector<size_t>& chosen, uint64_t seed) {
  std::map<std::string, std::vector<size_t>> groups;
  for (size_t i = 0; i < all.size(); ++i) groups[all[i].group].push_back(i);
  std::vector<Example> result;
  for (const size_t i : chosen) {
    Example example = all[i];
    std::string text = example.description.empty() ? task.description : example.description;
    if (task.shots > 0)
      for (const size_t other : others(groups[example.group], i, task.shots, seed, example.where))
        text += all[other].prompt + task.delimiter + all[other].choices[all[other].right()] +
                task.separator;
    example.prompt = text + example.prompt;
    result.push_back(std::move(example));
  }
  return result;
}

}  // namespace

size_t Example::right() const {
  return static_cast<size_t>(std::max_element(worth.begin(), worth.end()) - worth.begin());
}

LoadedTask load_task(const EvaluationTask& request, int64_t shots, uint64_t seed) {
  const TaskRows file = read_task_rows(request.data);
  const TaskShape& shape = find_shape(request.shape, file.rows[0]);
  LoadedTask task;
  task.name = request.name;
  task.shape = shape.name;
  task.kind = shape.kind;
  task.path = request.data.path.string();
  task.sha256 = sha256_file(request.data.path);
  task.shots = shots;
  if (shape.begin) shape.begin(file.header, task);
  std::vector<Example> all;
  for (const auto& row : file.rows) all.push_back(shape.read(row, task));
  task.of = static_cast<int64_t>(all.size());
  task.examples = prompted(task, all, drawn(all.size(), request.data.samples, seed), seed);
  return task;
}

}  // namespace attar::eval
