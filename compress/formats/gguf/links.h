// Which rows of a GGUF file's tensors are which rows of the tensors that a model is published with.
// Most of them correspond one to one under another name; some files split, join, stack or reorder
// what the model has. A list of links says so for both directions: reading takes a published
// tensor's rows from the file, writing a file tensor's rows from the model.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace attar::gguf {

struct Link {
  std::string file, published;                       // whole names
  std::vector<int64_t> file_shape, published_shape;  // the last dimension is contiguous
  int64_t cols = 1;                                  // of a row, on both sides
  /// Row file_first + i of the file's tensor is row published_rows[i] of the published one; empty:
  /// as many as the published one has, in order.
  int64_t file_first = 0;
  std::vector<int64_t> published_rows;
  /// Column c of the file is column columns[c] here. Empty: in order.
  std::vector<int64_t> columns;
  bool transposed = false;  // published [in, out], in the file [out, in]
  bool minus_exp = false;   // the file has −exp(value)

  int64_t rows() const;  // of the link
  int64_t published_row(int64_t i) const {
    return published_rows.empty() ? i : published_rows[static_cast<size_t>(i)];
  }
  /// Where row i, column c of the link stands among the published numbers.
  int64_t published_index(int64_t i, int64_t c) const {
    const int64_t row = published_row(i);
    const int64_t column = columns.empty() ? c : columns[static_cast<size_t>(c)];
    return transposed ? column * published_shape.back() + row : row * cols + column;
  }
};

/// A file's number -> the model's, and back.
float published_value(const Link& link, float file_value, float norm_offset);
float file_value(const Link& link, float published_value, float norm_offset);

/// first, first + 1, … (count of them)
std::vector<int64_t> consecutive(int64_t first, int64_t count);

/// What Gated DeltaNet layers and experts are stored as, from a config.json with the keys of
/// Qwen3-Next (classes in parentheses: conversion/qwen.py of ggml-org/llama.cpp): q, k, v of all
/// heads together and z apart, where the model has them by key head (Qwen3NextModel); the experts
/// of a layer stacked (Qwen2MoeModel).
std::vector<Link> qwen3_next_links(const nlohmann::ordered_json& config);

/// Qwen 3.5: value heads in tiled order (every key head's first, every key head's second, …) where
/// the model has them by key head (_LinearAttentionVReorderBase).
std::vector<Link> qwen3_5_links(const nlohmann::ordered_json& config);

}  // namespace attar::gguf
