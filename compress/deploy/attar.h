/* attar inside an application: open a model, read and write text, label texts, turn them into
 * vectors.
 *
 * Errors: a function that can fail returns an attar_status. Unless it is ATTAR_OK,
 * attar_last_error() says what is wrong, where, and what to do about it, and what the function
 * would have written has no meaning. No C++ exception leaves a function. Pointers must not be NULL
 * unless it says so.
 *
 * Ownership: handles belong to the caller, who frees them with the function of their name; texts
 * and numbers go into the caller's memory. A session keeps what it needs of its model: the handles
 * may be freed in any order.
 *
 * Threads: several threads may use one model at once. A session is for one thread at a time. What a
 * call computes is spread over worker threads that the process has once (attar_set_threads); calls
 * made side by side share them. Results are the same bytes for any number of threads.
 *
 * Texts are UTF-8 and end with a zero byte.
 */
#ifndef ATTAR_H
#define ATTAR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum attar_status {
  ATTAR_OK = 0,
  ATTAR_FAILED = 1,          /* it went wrong while working: out of memory, numbers overflow */
  ATTAR_BAD_INPUT = 2,       /* an argument or a file is not what it must be */
  ATTAR_BUFFER_TOO_SMALL = 3 /* nothing was written; the count tells what is needed */
} attar_status;

/* "0.1.0" */
const char* attar_version(void);

/* The last error of the calling thread, lines of text ("error: ...", "  where: ...", "  hint:
 * ..."); empty before the first one. Valid until this thread's next call. */
const char* attar_last_error(void);

/* How many threads compute, 1 to 1024, of the whole process; at first as many as it has processors.
 * Not while another call is at work. */
attar_status attar_set_threads(int threads);

/* ---- models ---- */

typedef struct attar_model attar_model;

/* Zeros are the defaults. */
typedef struct attar_model_options {
  /* How inputs enter products with quantized weights: "exact" (NULL), "int16" or "int8", each
   * faster and further from the exact result. */
  const char* activations;
  /* What keys and values are kept as: "float32" (NULL), "float16", "bfloat16" or "int8". */
  const char* kv_cache;
  /* Not 0: start from packed weights that are kept beside the model (attar-packed.bin, or behind a
   * file's name .attar-packed.bin), which processes share. Written when they are absent or not of
   * this model as it is now, which needs a directory that can be written. */
  int packed_cache;
} attar_model_options;

/* Opens a model directory or a .gguf file. `options` may be NULL. Files stay mapped and must not be
 * changed until the model and its sessions are freed.
 * ATTAR_BAD_INPUT: no model there, a damaged file, an unsupported family, an unknown option.
 * ATTAR_FAILED: packed weights can't be written. */
attar_status attar_model_open(const char* path, const attar_model_options* options,
                              attar_model** model);
/* NULL is allowed, as in all functions that free. */
void attar_model_free(attar_model* model);

typedef enum attar_task {
  ATTAR_WRITES_TEXT = 0,
  ATTAR_CLASSIFIES = 1,
  ATTAR_EMBEDS = 2
} attar_task;

attar_task attar_model_task(const attar_model* model);
/* Ids are in [0, vocab). */
int64_t attar_model_vocab(const attar_model* model);
/* The most ids of one text. */
int64_t attar_model_positions(const attar_model* model);
/* Numbers of one text's result: labels of a classifier, dimensions of a vector, else the
 * vocabulary. */
int64_t attar_model_width(const attar_model* model);
/* The name of a classifier's label, which lives as long as the model; NULL outside [0, width) and
 * for other models. */
const char* attar_model_label(const attar_model* model, int64_t label);
/* What was passed over when the model was opened, one line each; empty if nothing was. */
const char* attar_model_notes(const attar_model* model);

/* ---- text and ids ---- */

/* Writes the ids of `text` to ids[0 .. *count). With `special`, those that the model wants around a
 * text (begin, end) are added. ids may be NULL if capacity is 0. ATTAR_BUFFER_TOO_SMALL sets
 * *count, too. ATTAR_BAD_INPUT: no UTF-8, a model without tokenizer. */
attar_status attar_tokenize(const attar_model* model, const char* text, int special, int32_t* ids,
                            size_t capacity, size_t* count);
/* Writes the text of `count` ids with a zero byte behind it; *length is without that byte, of which
 * `capacity` has to have room too. With `skip_special`, special tokens are left out. */
attar_status attar_detokenize(const attar_model* model, const int32_t* ids, size_t count,
                              int skip_special, char* text, size_t capacity, size_t* length);

/* ---- writing text ---- */

/* A text that is read and written: everything so far, as keys and values. */
typedef struct attar_session attar_session;

/* ATTAR_BAD_INPUT: the model does not write text. */
attar_status attar_session_new(const attar_model* model, attar_session** session);
void attar_session_free(attar_session* session);

/* Forgets everything. */
attar_status attar_session_clear(attar_session* session);
/* How many ids were read and written. */
int64_t attar_session_position(const attar_session* session);

/* Appends a text; the first of a session gets the special tokens that the model wants before it,
 * and may be empty where the model has a token to begin with. ATTAR_BAD_INPUT: more ids than the
 * model has positions, no UTF-8. */
attar_status attar_session_prompt(attar_session* session, const char* text);
/* Makes the session that of a conversation, in the model's chat template up to where the
 * assistant's answer begins: [{"role": "system" | "user" | "assistant", "content": "..."}, ...].
 * What continues the session (the last conversation, the answer and the next question) is all that
 * is computed. */
attar_status attar_session_chat(attar_session* session, const char* messages_json);
/* Appends `count` ids, at least one. `logits` [vocab] receives those after the last one; may be
 * NULL. */
attar_status attar_session_read(attar_session* session, const int32_t* ids, size_t count,
                                float* logits);

/* How ids are drawn. Zeros are the defaults: the likeliest id always, 256 of them at most. */
typedef struct attar_sampling {
  double temperature;     /* 0: the likeliest id, the lowest among equals */
  int64_t top_k;          /* draw from the k likeliest; 0: all */
  double top_p;           /* draw from the likeliest that hold this probability, (0, 1]; 0: all */
  double min_p;           /* leave out those below this share of the likeliest one's probability */
  uint64_t seed;          /* the same seed draws the same text */
  int64_t max_new_tokens; /* 0: 256 */
} attar_sampling;

typedef enum attar_stop {
  ATTAR_STOP_END = 0,      /* the model ended the text */
  ATTAR_STOP_LIMIT = 1,    /* max_new_tokens */
  ATTAR_STOP_POSITION = 2, /* the model's last position is reached: the session is full */
  ATTAR_STOP_CALLBACK = 3  /* the callback asked for it */
} attar_stop;

typedef struct attar_generated {
  int64_t tokens; /* ids that were drawn, without the one that ends the text */
  attar_stop stop;
} attar_generated;

/* Receives a piece of text of `length` bytes, with a zero byte behind them, valid during the call:
 * whole characters only. Returns 0 to go on, anything else to stop. Must not call functions of this
 * session. */
typedef int (*attar_text_callback)(const char* piece, size_t length, void* user);

/* Writes on from what the session has read, piece by piece; what is written counts as read, so that
 * another call goes on. `sampling`, `callback` and `result` may be NULL.
 * ATTAR_BAD_INPUT: nothing was read yet, a number outside its range. */
attar_status attar_session_generate(attar_session* session, const attar_sampling* sampling,
                                    attar_text_callback callback, void* user,
                                    attar_generated* result);

/* ---- encoders ---- */

/* The scores of `count` texts, [count, width]: probabilities, unless the model was made for other
 * numbers. `pairs` may be NULL; otherwise texts[i] and pairs[i] are read as one. With `truncate`,
 * what the model has no positions for is left out; otherwise it is ATTAR_BAD_INPUT, as for a model
 * of another task. */
attar_status attar_classify(const attar_model* model, const char* const* texts,
                            const char* const* pairs, size_t count, int truncate, float* scores);
/* Vectors of `count` texts, [count, width], of length 1 where the model's modules.json says so. */
attar_status attar_embed(const attar_model* model, const char* const* texts, size_t count,
                         int truncate, float* vectors);

#ifdef __cplusplus
}
#endif

#endif
