#include <algorithm>

#include "compress/tokenizer/tokenizer.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

constexpr size_t kWindow = 64;  // ids that are decoded again with each new one, at most
constexpr size_t kKept = 16;    // of them stay when the window is full

/// <0xE2> and the like: the bytes that follow decide what it becomes.
bool is_byte_token(const std::string& token) {
  return token.size() == 6 && token.starts_with("<0x") && token.back() == '>';
}

}  // namespace

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

void StreamDecoder::follow(std::span<const int32_t> ids) {
  const auto last = ids.last(std::min(ids.size(), kKept));
  ids_.assign(last.begin(), last.end());
  known_ = tokenizer_->decode(ids_, skip_special_);
  printed_ = known_.size();
  in_bytes_ = false;
}

/// Bytes that follow may complete the end of the known text, or spoil it: what both have is
/// printed.
void StreamDecoder::find_printed(const std::string& text) {
  if (known_.empty()) return;
  const auto parts = std::mismatch(text.begin(), text.end(), known_.begin(), known_.end());
  printed_ = static_cast<size_t>(parts.first - text.begin());
  while (printed_ > 0 && printed_ < text.size() && (text[printed_] & 0xc0) == 0x80) --printed_;
}

std::string StreamDecoder::push(int32_t id) {
  ids_.push_back(id);
  const std::string text = tokenizer_->decode(ids_, skip_special_);
  find_printed(text);
  size_t certain = text.size();
  if (!skip_special_ || !tokenizer_->is_special(id))
    in_bytes_ = is_byte_token(tokenizer_->token(id));
  if (in_bytes_)
    certain = printed_;
  else if (text.ends_with(kReplacementCharacter))
    certain -= kReplacementCharacter.size();
  if (certain < printed_) return {};
  std::string fresh = text.substr(printed_, certain - printed_);
  if (!fresh.empty()) known_.clear();
  printed_ = certain;
  if (ids_.size() >= kWindow && certain == text.size()) forget(text);
  return fresh;
}

/// Drops the oldest ids when the rest decodes to the same end of the text (decoders treat a
/// beginning apart).
void StreamDecoder::forget(const std::string& text) {
  std::vector<int32_t> kept(ids_.end() - kKept, ids_.end());
  const std::string rest = tokenizer_->decode(kept, skip_special_);
  if (rest.empty() || !text.ends_with(rest)) return;
  ids_ = std::move(kept);
  printed_ = rest.size();
}

std::string StreamDecoder::finish() {
  const std::string text = tokenizer_->decode(ids_, skip_special_);
  find_printed(text);
  std::string rest = text.size() > printed_ ? text.substr(printed_) : "";
  ids_.clear();
  known_.clear();
  printed_ = 0;
  in_bytes_ = false;
  return rest;
}

}  // namespace attar
