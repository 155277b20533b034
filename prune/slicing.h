// Cutting rows and columns out of tensors, byte for byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace attar {

/// The elements that units own: unit u owns [u · per_unit, (u + 1) · per_unit).
std::vector<int64_t> elements_of(std::span<const int64_t> units, int64_t per_unit);

/// The rows `kept` (ascending) of a [rows, row_bytes] matrix.
std::vector<std::byte> keep_rows(std::span<const std::byte> matrix, int64_t row_bytes,
                                 std::span<const int64_t> kept);

/// The columns `kept` (ascending) of a [rows, cols] matrix of elements of `element` bytes.
std::vector<std::byte> keep_columns(std::span<const std::byte> matrix, int64_t cols,
                                    int64_t element, std::span<const int64_t> kept);

}  // namespace attar
