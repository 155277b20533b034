// Charts: who beats whom, where labels go, what ticks say.
#include <gtest/gtest.h>

#include <regex>

#include "compress/pipeline/report_axis.h"
#include "compress/pipeline/report_charts.h"

namespace attar::report {
namespace {

Point point(const std::string& label, double x, double y) {
  Point p;
  p.label = label;
  p.x = x;
  p.y = y;
  return p;
}

TEST(Dominated, NeedsBothAxesAndOneStrictly) {
  const std::vector<Point> points = {point("small", 1, 5),   point("good", 5, 1),
                                     point("between", 3, 3), point("beaten", 4, 4),
                                     point("twin", 3, 3),    point("larger twin", 4, 3)};
  const std::vector<bool> want = {false, false, false, true, false, true};
  EXPECT_EQ(dominated(points), want);
}

struct Text {
  double left, right, top, bottom;
  std::string label;
};

/// The label boxes of a scatter chart, from its SVG.
std::vector<Text> labels(const std::string& svg) {
  static const std::regex pattern(
      R"re(<text class="label" text-anchor="middle" x="([-0-9.]+)" y="([-0-9.]+)">([^<]*)</text>)re");
  std::vector<Text> found;
  for (std::sregex_iterator i(svg.begin(), svg.end(), pattern), end; i != end; ++i) {
    const double x = std::stod((*i)[1]), y = std::stod((*i)[2]);
    const std::string text = (*i)[3];
    const double half = 3.6 * static_cast<double>(text.size());
    found.push_back({x - half, x + half, y - 10, y + 3, text});
  }
  return found;
}

TEST(Scatter, LabelsOfTwelveCrowdedModelsDoNotOverlap) {
  std::vector<Point> points;
  for (int i = 0; i < 12; ++i)
    points.push_back(point("model-" + std::to_string(i), 5e6 + 2e5 * i, 35 + 0.05 * (i * 7 % 5)));
  for (const auto& [width, height] : {std::pair(1000, 470), std::pair(360, 380)}) {
    const auto boxes = labels(scatter(points, "chart", "perplexity", width, height));
    ASSERT_EQ(boxes.size(), points.size());
    for (size_t i = 0; i < boxes.size(); ++i) {
      EXPECT_GE(boxes[i].left, 0) << boxes[i].label;
      EXPECT_LE(boxes[i].right, width) << boxes[i].label;
      for (size_t j = 0; j < i; ++j) {
        const bool apart = boxes[i].right <= boxes[j].left || boxes[j].right <= boxes[i].left ||
                           boxes[i].bottom <= boxes[j].top || boxes[j].bottom <= boxes[i].top;
        EXPECT_TRUE(apart) << boxes[i].label << " and " << boxes[j].label << " at " << width;
      }
    }
  }
}

TEST(Scatter, AnOutlierIsMarkedAndDoesNotSquashTheOthers) {
  const std::string svg = scatter({point("a", 1e6, 35), point("b", 2e6, 35.5), point("c", 3e6, 36),
                                   point("d", 4e6, 35.2), point("lost", 5e6, 140)},
                                  "chart", "perplexity", 1000, 470);
  EXPECT_NE(svg.find("lost ↑ 140.0"), std::string::npos);
}

TEST(Scatter, ManagesDegenerateInput) {
  EXPECT_EQ(scatter({}, "chart", "y", 1000, 470), "");
  for (const auto& points : std::vector<std::vector<Point>>{
           {point("one", 1e6, 0)},
           {point("zero", 1e6, 0), point("tiny", 1e6, 1e-9), point("big", 1e9, 1)},
           {point("same", 1e6, 2), point("as", 1e6, 2)}}) {
    const std::string svg = scatter(points, "chart", "y", 1000, 470);
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
  }
}

TEST(Lines, LeaveOutWhatIsNotFinite) {
  const double nan = std::nan("");
  EXPECT_EQ(lines({{"loss", {{0, nan}}}}, "loss", "step", 480, 220), "");
  const std::string svg = lines({{"loss", {{0, 4}, {1, nan}, {2, 3}}}}, "loss", "step", 480, 220);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(Bars, TheLongestFillsTheWidth) {
  const std::string text = bars({{"a", "10", 10, false}, {"b", "5", 5, true}}, "speed");
  EXPECT_NE(text.find("width:100.00%"), std::string::npos);
  EXPECT_NE(text.find("width:50.00%"), std::string::npos);
}

TEST(Ticks, AreRoundAndOnTheAxis) {
  for (const auto& [low, high] : {std::pair(35.1, 36.9), std::pair(0.0, 1.0), std::pair(1e6, 5e8),
                                  std::pair(1e-6, 2.0), std::pair(3.0, 3.0)}) {
    const Axis axis = make_axis(low, high, 8, 0, 100);
    const auto found = ticks(axis, 5);
    EXPECT_GE(found.size(), 2u) << low;
    EXPECT_LE(found.size(), 14u) << low;
    for (const double at : found) {
      EXPECT_GE(at, axis.low);
      EXPECT_LE(at, axis.high);
    }
  }
}

}  // namespace
}  // namespace attar::report
