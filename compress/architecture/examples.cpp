#include "compress/architecture/examples.h"

#include "compress/base/error.h"

namespace attar {
namespace {

struct Example {
  std::string_view family, config;
};

constexpr Example kExamples[] = {
    {"bert", R"json({
  "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": 512,
  "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
  "num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
  "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0,
  "id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}, "torch_dtype": "float32"
})json"},
    {"distilbert", R"json({
  "architectures": ["DistilBertForSequenceClassification"], "model_type": "distilbert",
  "vocab_size": 512, "dim": 768, "hidden_dim": 3072, "n_layers": 6, "n_heads": 12,
  "activation": "gelu", "max_position_embeddings": 512, "pad_token_id": 0,
  "sinusoidal_pos_embds": false, "id2label": {"0": "no", "1": "yes"},
  "label2id": {"no": 0, "yes": 1}, "torch_dtype": "float32"
})json"},
    {"roberta", R"json({
  "architectures": ["RobertaForSequenceClassification"], "model_type": "roberta",
  "vocab_size": 512, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
  "num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-05,
  "max_position_embeddings": 514, "type_vocab_size": 1, "bos_token_id": 0, "pad_token_id": 1,
  "eos_token_id": 2, "id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1},
  "torch_dtype": "float32"
})json"},
    {"bitnet", R"json({
  "architectures": ["BitNetForCausalLM"], "model_type": "bitnet", "vocab_size": 512,
  "hidden_size": 2560, "intermediate_size": 6912, "num_hidden_layers": 30,
  "num_attention_heads": 20, "num_key_value_heads": 5, "hidden_act": "relu2",
  "max_position_embeddings": 1024, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
  "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
})json"},
    {"gemma2", R"json({
  "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "vocab_size": 512,
  "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
  "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
  "query_pre_attn_scalar": 256, "sliding_window": 4096, "attn_logit_softcapping": 50.0,
  "final_logit_softcapping": 30.0, "hidden_activation": "gelu_pytorch_tanh",
  "max_position_embeddings": 1024, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
  "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0, "torch_dtype": "bfloat16"
})json"},
    {"gemma3", R"json({
  "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "vocab_size": 512,
  "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18,
  "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
  "query_pre_attn_scalar": 256, "sliding_window": 512, "sliding_window_pattern": 6,
  "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 1024,
  "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
  "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0, "torch_dtype": "bfloat16"
})json"},
    {"gpt2", R"json({
  "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 512,
  "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "n_ctx": 1024,
  "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "bos_token_id": 1,
  "eos_token_id": 1, "torch_dtype": "float32"
})json"},
    {"gpt_neox", R"json({
  "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "vocab_size": 512,
  "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6,
  "num_attention_heads": 8, "hidden_act": "gelu", "layer_norm_eps": 1e-05,
  "max_position_embeddings": 1024, "rotary_emb_base": 10000, "rotary_pct": 0.25,
  "use_parallel_residual": true, "tie_word_embeddings": false, "bos_token_id": 0,
  "eos_token_id": 0, "torch_dtype": "float16"
})json"},
    {"llama", R"json({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512,
  "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
  "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
  "max_position_embeddings": 1024, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
  "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 512},
  "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
})json"},
    {"mistral", R"json({
  "architectures": ["MistralForCausalLM"], "model_type": "mistral", "vocab_size": 512,
  "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 1024,
  "sliding_window": 4096, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
})json"},
    {"phi3", R"json({
  "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "vocab_size": 512,
  "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 1024,
  "original_max_position_embeddings": 1024, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "rope_scaling": null, "sliding_window": 262144, "tie_word_embeddings": false,
  "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "torch_dtype": "bfloat16"
})json"},
    {"qwen2", R"json({
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 512,
  "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
  "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 1024,
  "use_sliding_window": false, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
  "tie_word_embeddings": true, "eos_token_id": 1, "torch_dtype": "bfloat16"
})json"},
    {"qwen3", R"json({
  "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 512,
  "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
  "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
  "max_position_embeddings": 1024, "rms_norm_eps": 1e-06, "rope_theta": 1000000,
  "tie_word_embeddings": true, "eos_token_id": 1, "torch_dtype": "bfloat16"
})json"},
    {"qwen3_5", R"json({
  "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "vocab_size": 512,
  "hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 24,
  "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256,
  "linear_num_key_heads": 16, "linear_num_value_heads": 16, "linear_key_head_dim": 128,
  "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
  "max_position_embeddings": 1024, "rms_norm_eps": 1e-06, "rope_parameters": {
    "rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25},
  "tie_word_embeddings": true, "eos_token_id": 1, "dtype": "bfloat16"
})json"},
    {"qwen3_next", R"json({
  "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "vocab_size": 512,
  "hidden_size": 2048, "intermediate_size": 5120, "num_hidden_layers": 48,
  "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
  "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
  "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
  "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512,
  "shared_expert_intermediate_size": 512, "norm_topk_prob": true, "decoder_sparse_step": 1,
  "mlp_only_layers": [], "max_position_embeddings": 1024, "rms_norm_eps": 1e-06,
  "rope_theta": 10000000, "partial_rotary_factor": 0.25, "tie_word_embeddings": false,
  "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
})json"},
    {"smollm3", R"json({
  "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "vocab_size": 512,
  "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
  "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 1024,
  "no_rope_layer_interval": 4, "use_sliding_window": false, "rms_norm_eps": 1e-06,
  "rope_theta": 5000000.0, "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
})json"},
};

}  // namespace

nlohmann::ordered_json example_config(std::string_view family) {
  for (const Example& example : kExamples)
    if (example.family == family) return nlohmann::ordered_json::parse(example.config);
  throw failure("there is no example of family " + std::string(family));
}

}  // namespace attar
