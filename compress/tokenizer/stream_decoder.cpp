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

std::string StreamDecoder::push(int32_t id) {
  ids_.push_back(id);
  const std::string text = tokenizer_->decode(ids_, skip_special_);
  size_t certain = text.size();
  if (!skip_special_ || !tokenizer_->is_special(id))
    in_bytes_ = is_byte_token(tokenizer_->token(id));
  if (in_bytes_)
    certain = printed_;
  else if (text.ends_with(kReplacementCharacter))
    certain -= kReplacementCharacter.size();
  if (certain < printed_) return {};
  std::string fresh = text.substr(printed_, certain - printed_);
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
  std::string rest = text.size() > printed_ ? text.substr(printed_) : "";
  ids_.clear();
  printed_ = 0;
  in_bytes_ = false;
  return rest;
}

}  // namespace attar
