#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/nearest.h"
#include "nn/network.h"
#include "tools/comparison.h"
#include "tools/verbs.h"
#include "unlearn/methods.h"

namespace expunge::tools {
namespace {

struct Row {
  std::string name, summary;
};

struct List {
  const char* name;
  std::vector<Row> rows;
};

template <class Table>
std::vector<Row> rows_of(const Table& table) {
  std::vector<Row> rows;
  for (const auto& entry : table) rows.push_back({entry.name, entry.summary});
  return rows;
}

std::vector<List> unlearning_lists() {
  std::vector<Row> presets, objectives, compats;
  for (const unlearn::Preset& p : unlearn::presets())
    presets.push_back({p.name, fmt::format("lr {}, batch {}, {} epochs, gate {}; {}", p.lr,
                                           p.batch_size, p.epochs, p.gate, p.source)});
  for (const unlearn::Objective& o : unlearn::objectives())
    objectives.push_back({o.name, o.formula});
  for (const unlearn::Compat& c : unlearn::compats())
    compats.push_back(
        {c.name, fmt::format("{}: {}", *c.method != 0 ? c.method : "all methods", c.summary)});
  return {{"methods", rows_of(unlearn::methods())},
          {"presets", presets},
          {"gates", rows_of(unlearn::gates())},
          {"estimators", rows_of(unlearn::estimators())},
          {"objectives", objectives},
          {"compats", compats}};
}

std::vector<List> evaluation_lists() {
  List metrics{"metrics", {}};
  for (const RunNumber& number : run_numbers()) metrics.rows.push_back({number.name, number.words});
  return {metrics,
          {"attacks",
           {{"svc", "support vector machine, retained against test samples, asked about F"},
            {"loss", "logistic regression on the loss, F against test samples"},
            {"threshold", "confidence, entropy, modified entropy: AUC, and rates at few alarms"},
            {"ulira",
             "likelihood ratio over shadow networks that it trains: forgotten or never seen"}}}};
}

std::vector<List> simple_lists() {
  return {
      {"datasets",
       {{"builtin",
         "procedural, ten classes, 4,000 + 1,000 images of 32x32x3; nothing to download"},
        {"FILE",
         "packed by expunge data prepare: folders of JPEG/PNG, CIFAR-10, CIFAR-100, SVHN"}}},
      {"optimizers",
       {{"sgd", "momentum, --nesterov, L2 --weight-decay"},
        {"adam", "Kingma & Ba 2015, L2 decay"},
        {"adamw", "Loshchilov & Hutter 2019, decoupled decay"}}},
      {"schedules",
       {{"constant", "the learning rate as given"},
        {"step:91,136[,gamma=0.1]", "times gamma after these epochs"},
        {"cosine", "down to 0 along half a cosine"},
        {"onecycle", "up from 1/25 over 30 %, then down (Smith & Topin 2018)"}}},
      {"inits",
       {{"pytorch", "weights and biases uniform in +-1/sqrt(fan in)"},
        {"kaiming", "convolutions normal with variance 2/fan out, linear normal 0.01, biases 0"}}}};
}

std::string list_models(bool json) {
  std::string text =
      json ? "" : fmt::format("{:<14} {:>12} {:>14}  {}\n", "name", "parameters", "MACs", "");
  for (const nn::ModelEntry& entry : nn::models()) {
    const nn::Model model = entry.make(entry.spec);
    if (json)
      text += fmt::format("{}{{\"name\":{},\"parameters\":{},\"macs\":{},\"summary\":{}}}",
                          text.empty() ? "" : ",", json_string(entry.name), model.parameter_count(),
                          model.macs(), json_string(entry.summary));
    else
      text += fmt::format("{:<14} {:>12} {:>14}  {}\n", entry.name, model.parameter_count(),
                          model.macs(), entry.summary);
  }
  return json ? fmt::format("{{\"schema\":\"expunge.list/1\",\"models\":[{}]}}\n", text) : text;
}

std::string list_rows(const List& list, bool json) {
  std::string text;
  size_t width = 0;
  for (const Row& row : list.rows) width = std::max(width, row.name.size());
  for (const Row& row : list.rows)
    text += json ? fmt::format("{}{{\"name\":{},\"summary\":{}}}", text.empty() ? "" : ",",
                               json_string(row.name), json_string(row.summary))
                 : fmt::format("{:<{}}  {}\n", row.name, width, row.summary);
  return json ? fmt::format("{{\"schema\":\"expunge.list/1\",\"{}\":[{}]}}\n", list.name, text)
              : text;
}

}  // namespace

ExitCode run_list(Settings& settings) {
  const std::string& what = single_argument(settings, "what to list");
  std::vector<std::string> known = {"models"};
  if (what == "models") return print_out(list_models(settings.flag("json"))), ExitCode::done;
  std::vector<List> lists = unlearning_lists();
  std::ranges::move(evaluation_lists(), std::back_inserter(lists));
  std::ranges::move(simple_lists(), std::back_inserter(lists));
  for (const List& list : lists) {
    if (what == list.name) return print_out(list_rows(list, settings.flag("json"))), ExitCode::done;
    known.emplace_back(list.name);
  }
  fail(ExitCode::usage, "list: '{}' cannot be listed{}", what, nearest_hint(what, known));
}

}  // namespace expunge::tools
